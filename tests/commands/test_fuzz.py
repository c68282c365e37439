"""Whatever is typed or sent ends with an exit code, and with a message if it is not 0.

Every case is drawn from a fixed seed. No case may end with code 70, which is what the
command makes of an exception that it did not foresee, and none may change a file that
was there.
"""

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.commands import models as loading
from speechbrain_fusion.commands.pcm import SampleFormat, wav_header
from tests.commands.conftest import RATE
from tests.commands.shell import Ran, run

Rng = np.random.Generator
COMMANDS = (
    "recipe",
    "enhance",
    "separate",
    "stream",
    "evaluate",
    "export",
    "report",
    "info",
)
OPTIONS = (
    *("-o", "--output", "--model", "--device", "--quiet", "--trust", "-q"),
    *("--debug", "--channel", "--subtype", "--format", "--rate", "--channels"),
    *("--block", "--align", "--noisy", "--metrics", "--json", "--csv", "--jobs"),
    *("--step", "--offline", "--help", "--version", "-h", "--", "-", "--nonsense"),
)
VALUES = (
    *("cpu", "cuda:7", "0", "1", "2", "-1", "16000", "1e9", "nan", "20", "0.1", ""),
    *("s16le", "f32le", "wav", "auto", "PCM_24", "FLOAT", "snr", "si_sdr", "composite"),
)
PATHS = (
    *("mono.wav", "stereo.wav", "in", "in/*.wav", "**/*.wav", "text.wav", "empty.wav"),
    *("gone.wav", "gone*", "[", "out", "out/x.wav", "out/new.json", "in/deep/b.wav"),
    *("mono.wav/x", ".", "x" * 300, "bad\udcff.wav", "日本.wav", "folder.wav"),
)
# of the models in streams; a step of some takes longer
SHARES = (0.6, 0.1, 0.1, 0.1, 0.1)
# all that is written of a score: quality metrics would take most of the time
CHEAP = ("--metrics", "snr", "si_sdr", "ild_error", "stoi")


@pytest.fixture
def place(here, models, monkeypatch):
    """A working folder with all kinds of files; good models are loaded once."""
    Path("text.wav").write_text("no audio")
    Path("empty.wav").write_bytes(b"")
    Path("folder.wav").mkdir()
    Path("out").mkdir()
    Path("out/there.wav").write_bytes(b"mine")
    good, each_time = {None, *map(str, models)}, loading.load
    cached = functools.cache(each_time)

    def load(source, device, trust):
        known = source in good and device == "cpu"
        return (cached if known else each_time)(source, device, trust)

    def fetch(*arguments, **options):
        raise OSError("no network in tests")

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr("speechbrain_fusion.inference.files.fetch", fetch)
    return here


def contents() -> dict[str, bytes]:
    files = (path for path in Path().rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def check(ran: Ran, arguments: list) -> None:
    assert ran.code in (0, 1, 2), (arguments, ran)
    assert "--debug" in arguments or "Traceback" not in ran.err, (arguments, ran)
    if ran.code:
        assert "error: " in ran.err, (arguments, ran)


def text(rng: Rng) -> str:
    """Draw any text, but no path to elsewhere."""
    kinds = (range(33, 127), range(1, 256), range(0x20, 0x3000))
    letters = kinds[rng.integers(3)]
    drawn = rng.integers(letters.start, letters.stop, rng.integers(1, 12))
    return "".join(map(chr, drawn)).replace("/", "").lstrip("~") or "x"


def word(rng: Rng, models: tuple[Path, ...]) -> str:
    kinds = (OPTIONS, VALUES, PATHS, tuple(map(str, models)), ())
    kind = kinds[rng.choice(5, p=(0.3, 0.2, 0.25, 0.15, 0.1))]
    return str(kind[rng.integers(len(kind))]) if kind else text(rng)


def mutated(rng: Rng, data: bytes) -> bytes:
    """Change, cut out, insert or repeat some bytes."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 8)):
        i, j = np.sort(rng.integers(0, len(changed) + 1, 2))
        act = rng.integers(5)
        if act == 0 and changed:
            changed[min(i, len(changed) - 1)] = rng.integers(256)
        elif act == 1:
            del changed[i : min(j, i + 40)]
        elif act == 2:
            changed[i:i] = rng.bytes(rng.integers(1, 9))
        elif act == 3:
            changed[i : i + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"data", b"RIFF"])
        else:
            changed[i:i] = changed[i : min(j, i + 100)]
    if rng.random() < 0.1:
        del changed[rng.integers(len(changed) + 1) :]
    return bytes(changed)


def recording(rng: Rng) -> bytes:
    """Draw a recording of any format, most of them broken."""
    kind = rng.choice(["WAV", "FLAC", "OGG", "AIFF", "MP3"])
    file = io.BytesIO()
    noise = 0.1 * rng.standard_normal((int(rng.integers(1, 900)), 2))
    soundfile.write(file, noise, int(rng.choice([8000, 16000, 44100])), format=kind)
    whole = file.getvalue()
    return whole if rng.random() < 0.1 else mutated(rng, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_any_words(place, models, seed):
    rng = np.random.default_rng(seed)
    before = contents()
    for _ in range(50):
        command = [str(rng.choice(COMMANDS))] if rng.random() < 0.9 else []
        words = [word(rng, models) for _ in range(rng.integers(0, 7))]
        arguments = [*command, *words]
        if "export" in arguments:
            arguments = [x for x in arguments if x not in ("-o", "--output")]
        check(run(*arguments, stdin=rng.bytes(100)), arguments)
    after = contents()
    assert {name: after.get(name) for name in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_in_a_stream(place, models, seed):
    rng = np.random.default_rng(100 + seed)
    for _ in range(40):
        encoding = str(rng.choice(["s16le", "s24le", "s32le", "f32le"]))
        samples = SampleFormat(RATE, int(rng.integers(1, 4)), encoding)
        data = rng.bytes(rng.integers(0, 800))
        if rng.random() < 0.7:
            size = None if rng.random() < 0.5 else len(data)
            data = mutated(rng, wav_header(samples, size)) + data
        arguments = ["stream", "--model", models[rng.choice(5, p=SHARES)]]
        for option in ("auto", encoding, "wav"):
            arguments += ["--format", option] if rng.random() < 0.2 else []
        arguments += ["--align"] if rng.random() < 0.5 else []
        arguments += ["--block", str(rng.choice(["2", "5", "50"], p=(0.1, 0.3, 0.6)))]
        check(run(*arguments, stdin=data), [*arguments, data])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_any_recordings(place, models, seed):
    rng = np.random.default_rng(200 + seed)
    for number in range(6):
        folder = Path(f"broken{number}")
        folder.mkdir()
        for name in range(8):
            kind = rng.choice(["wav", "flac", "ogg", "mp3"])
            (folder / f"{name}.{kind}").write_bytes(recording(rng))
        before = contents()
        separate = bool(rng.random() < 0.3)
        model = models.separator if separate else models[rng.integers(2)]
        command = "separate" if separate else "enhance"
        arguments = [command, folder, "-o", f"out{number}", "--model", model]
        ran = run(*arguments)
        check(ran, arguments)
        after = contents()
        assert {name: after.get(name) for name in before} == before
        # what is written is whole
        for path in Path(f"out{number}").rglob("*"):
            assert path.is_dir() or not path.name.startswith(".")
            assert path.is_dir() or soundfile.info(path).frames > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_any_recordings_are_scored_or_told(place, seed):
    rng = np.random.default_rng(300 + seed)
    for _ in range(10):
        for name in ("s", "y", "x"):
            Path(name).mkdir(exist_ok=True)
            for item in range(3):
                Path(name, f"{item}.wav").write_bytes(recording(rng))
        noisy = ["--noisy", "x"] if rng.random() < 0.5 else []
        arguments = ["evaluate", "s", "y", *noisy, *CHEAP, "--jobs", "1"]
        check(run(*arguments), arguments)


@pytest.mark.parametrize("seed", range(6))
def test_any_model_folder(place, models, seed):
    rng = np.random.default_rng(400 + seed)
    for number in range(12):
        folder = Path(f"model{number}")
        folder.mkdir()
        for path in models.binaural.iterdir():
            data = path.read_bytes()
            kind = rng.integers(4)
            if kind == 0:
                data = mutated(rng, data)
            elif kind == 1:
                data = rng.bytes(rng.integers(0, 300))
            if rng.random() < 0.95:
                (folder / path.name).write_bytes(data)
        command = [["info"], ["enhance", "stereo.wav", "-o", f"o{number}"]][number % 2]
        arguments = [*command, "--model", folder]
        check(run(*arguments), arguments)
