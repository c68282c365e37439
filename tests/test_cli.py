import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speechbrain_fusion.cli import main
from speechbrain_fusion.commands.info import info, version


def test_info_names_versions_and_devices(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for name in ("speechbrain-fusion", "torch", "torchaudio", "pesq", "device cpu"):
        assert name in printed
    assert version("torch") in printed


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("speechbrain_fusion.commands.info.version", lambda name: None)
    assert any("speechbrain-fusion[plots]" in line for line in info())


def test_no_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "usage: speechbrain-fusion" in capsys.readouterr().err


@pytest.mark.slow
def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "speechbrain_fusion.cli", "info"]
    assert "speechbrain-fusion" in subprocess.check_output(command, text=True)


def test_the_command_is_installed():
    program = shutil.which("speechbrain-fusion", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("not installed as a command")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: speechbrain-fusion" in done.stderr
