import subprocess
import sys

import pytest

from speechbrain_fusion.cli import info, main, version


def test_info_names_versions_and_devices(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for name in ("speechbrain-fusion", "torch", "torchaudio", "pesq", "device cpu"):
        assert name in printed
    assert version("torch") in printed


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("speechbrain_fusion.cli.version", lambda name: None)
    assert any("speechbrain-fusion[plots]" in line for line in info())


def test_no_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "usage: speechbrain-fusion" in capsys.readouterr().err


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "speechbrain_fusion.cli", "info"]
    assert "speechbrain-fusion" in subprocess.check_output(command, text=True)
