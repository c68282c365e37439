"""Many files at once: what each gives alone, and those that fail stop no other."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.inference.audio_files import process_file
from speechbrain_fusion.inference.long_audio import CHUNK
from speechbrain_fusion.inference.many_files import process_files
from tests.inference.recordings import RATE, content, tones, write
from tests.inference.stub_systems import Bands, Through
from tests.models.test_system import SYSTEMS


def some_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Good and bad files, short and long ones, of several rates."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number, seconds in enumerate([0.3, 1.0, 0.5, 9.5, 0.31, 3.0]):
        rate = [8000, 16000, 44100][number % 3]
        noise = 0.1 * random.standard_normal((round(seconds * rate), 1 + number % 2))
        write(folder / f"{number}.wav", noise, rate)
    (folder / "bad.wav").write_text("not audio")
    short = content(tones())
    (folder / "nan.wav").write_bytes(content(tones() * np.nan, subtype="FLOAT"))
    (folder / "none.wav").write_bytes(short[:44])
    sources = [*sorted(folder.iterdir()), folder / "missing.wav"]
    return sources, [folder.parent / "out" / path.name for path in sources]


@pytest.mark.parametrize("batch", [0.0, 4.0, None])
def test_files_that_fail_do_not_stop_the_others(tmp_path, batch):
    sources, targets = some_files(tmp_path / "in")
    failures = process_files(Through(), RATE, sources, targets, batch=batch)
    assert [path.name for path, _ in failures] == [
        "bad.wav",
        "nan.wav",
        "none.wav",
        "missing.wav",
    ]
    assert all(path.name in message for path, message in failures)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{number}.wav" for number in range(6)
    ]
    for source, target in zip(sources[:6], targets[:6], strict=True):
        assert soundfile.info(str(source)).frames == soundfile.info(str(target)).frames


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask", "two_branch", "two_branch_causal"])
def test_files_give_in_a_batch_what_they_give_alone(tmp_path, name):
    system = SYSTEMS[name]().eval()
    sources, targets = some_files(tmp_path / "in")
    # low, that networks take little time
    process_files(system, 1000, sources, targets, subtype="FLOAT")
    for source, target in zip(sources[:6], targets[:6], strict=True):
        alone = tmp_path / "alone.wav"
        process_file(system, 1000, source, alone, subtype="FLOAT", force=True)
        a, b = (soundfile.read(path)[0] for path in (target, alone))
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_short_files_are_processed_together(tmp_path):
    system = Through()
    sources = [write(tmp_path / f"{n}.wav", tones(1, 0.5 + n / 50)) for n in range(20)]
    targets = [path.with_suffix(".flac") for path in sources]
    assert process_files(system, RATE, sources, targets) == []
    assert len(system.calls) == 4  # for 13.8 s in all
    assert all(np.prod(shape) <= CHUNK * RATE for shape in system.calls)


def test_what_is_too_much_at_once_is_processed_one_by_one(tmp_path):
    class Small(Through):
        def process(self, signals, lengths=None):
            if len(signals) > 1:
                raise torch.cuda.OutOfMemoryError("too much")
            return super().process(signals)

    sources = [write(tmp_path / f"{n}.wav", tones()) for n in range(3)]
    targets = [path.with_suffix(".flac") for path in sources]
    assert process_files(Small(), RATE, sources, targets) == []
    assert all(path.exists() for path in targets)


def test_no_output_is_written_twice_nor_onto_another_input(tmp_path):
    a, b = (write(tmp_path / name, tones()) for name in ("a.wav", "b.wav"))
    before = b.read_bytes()
    out = tmp_path / "out.wav"
    failures = process_files(Through(), RATE, [a, b], [out, out], force=True)
    assert [path for path, _ in failures] == [b]
    failures = process_files(Through(), RATE, [a], [b], force=False)
    assert "exists" in failures[0].message
    failures = process_files(
        Through(), RATE, [a, b], [b, tmp_path / "c.wav"], force=True
    )
    assert [path for path, _ in failures] == [a]
    assert b.read_bytes() == before
    twice = process_files(Through(), RATE, [a, a], [tmp_path / "d.wav"] * 2)
    assert [path for path, _ in twice] == [a]
    two = [tmp_path / "e.wav", tmp_path / "f.wav"]
    assert process_files(Through(), RATE, [a, a], two) == []


def test_talkers_of_many_files_have_files_each(tmp_path):
    sources = [write(tmp_path / f"{n}.wav", tones(1 + n // 2)) for n in range(3)]
    targets = [tmp_path / "out" / path.name for path in sources]
    failures = process_files(Bands(), RATE, sources, targets, progress=True)
    assert "2 channels, expected 1" in failures[0].message
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0_1.wav", "0_2.wav", "1_1.wav", "1_2.wav"]


def test_as_many_names_as_files():
    with pytest.raises(ValueError, match="1 files, 0 names"):
        process_files(Through(), RATE, ["a.wav"], [])
