"""Files through systems: every format, nothing half-written, one clear error."""

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_files import (
    process_bytes,
    process_file,
    separate_bytes,
)
from speechbrain_fusion.inference.audio_reading import AudioReader, AudioWarning
from speechbrain_fusion.inference.audio_writing import KEPT
from speechbrain_fusion.inference.long_audio import CHUNK
from speechbrain_fusion.inference.many_files import process_files
from tests.inference.stub_systems import Bands, Levelled, Through
from tests.models.test_system import SYSTEMS

RATE = 8000
FORMATS = [
    ("wav", "PCM_U8", 0.02),
    ("wav", "PCM_16", 1e-4),
    ("wav", "PCM_24", 1e-6),
    ("wav", "PCM_32", 1e-6),
    ("wav", "FLOAT", 1e-6),
    ("wav", "DOUBLE", 1e-6),
    ("wav", "ULAW", 0.05),
    ("flac", "PCM_16", 1e-4),
    ("flac", "PCM_24", 1e-6),
    ("ogg", "VORBIS", 0.2),
    ("mp3", "MPEG_LAYER_III", 0.2),
    ("aiff", "PCM_16", 1e-4),
    ("w64", "PCM_24", 1e-6),
    ("caf", "FLOAT", 1e-6),
    ("caf", "ALAC_16", 1e-4),
    ("au", "PCM_16", 1e-4),
    ("rf64", "PCM_16", 1e-4),
    ("voc", "PCM_16", 1e-4),
]


def tones(channels: int = 1, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Tones of below 1 kHz, [time, channels]: no rate and no codec harms them."""
    time = np.arange(round(seconds * rate)) / rate
    tone = [np.sin(2 * np.pi * (220 + 110 * k) * time + k) for k in range(channels)]
    return 0.4 * np.stack(tone, -1)


def write(path: Path, signal: np.ndarray, rate: int = RATE, subtype=None, **options):
    soundfile.write(path, signal, rate, subtype, **options)
    return path


def content(signal: np.ndarray, container: str = "WAV", rate: int = RATE, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, signal, rate, subtype, format=container)
    return file.getvalue()


def refused(
    folder: Path, source: Path, target: str = "out.wav", system=None, **options
):
    """Process a file that cannot be: return the message; nothing is left behind."""
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(AudioError) as caught:
        process_file(system or Through(), RATE, source, folder / target, **options)
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
    return str(caught.value)


@pytest.mark.parametrize(("suffix", "subtype", "error"), FORMATS)
def test_every_format_comes_back_as_it_was(tmp_path, suffix, subtype, error):
    source = write(tmp_path / f"in.{suffix}", tones(2), subtype=subtype)
    target = tmp_path / f"out.{suffix}"
    assert process_file(Through(), RATE, source, target) == [target]
    old, new = soundfile.info(str(source)), soundfile.info(str(target))
    assert (new.format, new.subtype) == (old.format, old.subtype)
    assert (new.samplerate, new.channels) == (old.samplerate, 2)
    assert new.frames == old.frames
    x, y = (soundfile.read(path)[0] for path in (source, target))
    assert np.abs(x - y[: len(x)]).max() < error


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24"])
def test_integers_that_are_only_copied_are_the_same(tmp_path, subtype):
    noise = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    source = write(tmp_path / "in.wav", noise, subtype=subtype)
    process_file(Through(), RATE, source, tmp_path / "out.wav")
    assert source.read_bytes()[-20000:] == (tmp_path / "out.wav").read_bytes()[-20000:]


@pytest.mark.parametrize(
    "rate", [8000, 11025, 16000, 22050, 37800, 44100, 48000, 192000]
)
@pytest.mark.parametrize("system", [8000, 16000])
def test_any_rate_comes_back_in_time(tmp_path, rate, system):
    signal = tones(2, 0.7, rate)
    source = write(tmp_path / "in.wav", signal, rate, "FLOAT")
    process_file(Through(), system, source, tmp_path / "out.wav")
    out, got = soundfile.read(tmp_path / "out.wav")
    assert got == rate
    assert out.shape == signal.shape
    inside = slice(rate // 50, -rate // 50)
    np.testing.assert_allclose(out[inside], signal[inside], atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("samples", [1, 23])
def test_the_shortest_files_come_back_as_long(tmp_path, rate, samples):
    source = write(tmp_path / "in.wav", tones(2, 1.0, rate)[:samples], rate)
    for name in SYSTEMS:
        system = SYSTEMS[name]().eval()
        if system.task == "separate":
            continue
        process_file(system, 16000, source, tmp_path / f"{name}.wav")
        assert soundfile.info(str(tmp_path / f"{name}.wav")).frames == samples


def test_long_files_are_processed_block_by_block(tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal((100 * 11025, 2))
    source = write(tmp_path / "in.flac", signal, 11025)
    system, seconds = Levelled(), []
    process_file(
        system, RATE, source, tmp_path / "out.flac", tick=lambda s: seconds.append(s)
    )
    assert soundfile.info(str(tmp_path / "out.flac")).frames == len(signal)
    assert sum(seconds) == pytest.approx(100)
    assert max(shape[-1] for shape in system.calls) == CHUNK * RATE


@pytest.mark.parametrize("name", ["binaural", "two_branch_causal", "convtasnet"])
def test_causal_systems_make_of_a_file_what_they_make_of_all_of_it(tmp_path, name):
    system, rate = SYSTEMS[name]().eval(), 1000
    signal = 0.1 * torch.randn(7 * rate + 11, system.inputs)
    source = write(tmp_path / "in.wav", signal.numpy(), rate, "FLOAT")
    out = process_file(system, rate, source, tmp_path / "out.wav")
    with torch.inference_mode():
        whole = system.process(signal.T.unsqueeze(0)).squeeze(0)
    found = np.concatenate([soundfile.read(path, always_2d=True)[0].T for path in out])
    np.testing.assert_allclose(found, whole.numpy(), atol=1e-5)


def test_the_suffix_says_which_container(tmp_path):
    source = write(tmp_path / "in.flac", tones(), subtype="PCM_24")
    for suffix, subtype in [(".wav", "PCM_24"), (".mp3", "MPEG_LAYER_III")]:
        process_file(Through(), RATE, source, tmp_path / f"out{suffix}")
        assert soundfile.info(str(tmp_path / f"out{suffix}")).subtype == subtype
    process_file(Through(), RATE, source, tmp_path / "out")
    assert soundfile.info(str(tmp_path / "out")).format == "FLAC"
    process_file(Through(), RATE, source, tmp_path / "f.wav", subtype="float")
    assert soundfile.info(str(tmp_path / "f.wav")).subtype == "FLOAT"


def test_floats_become_24_bits_where_there_are_none(tmp_path):
    source = write(tmp_path / "in.wav", tones(), subtype="FLOAT")
    process_file(Through(), RATE, source, tmp_path / "out.flac")
    assert soundfile.info(str(tmp_path / "out.flac")).subtype == "PCM_24"


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "IMA_ADPCM"), ("wav", "GSM610"), ("caf", "ALAC_24"), ("aiff", "PCM_U8")],
)
def test_encodings_that_would_harm_are_replaced(tmp_path, suffix, subtype):
    source = write(tmp_path / f"in.{suffix}", tones(1, 0.9999), subtype=subtype)
    target = tmp_path / f"out.{suffix}"
    process_file(Through(), RATE, source, target)
    new = soundfile.info(str(target))
    assert new.subtype == ("PCM_24" if subtype == "ALAC_24" else "PCM_16")
    assert new.frames == soundfile.info(str(source)).frames
    assert "expected a subtype" in refused(
        tmp_path, source, f"other.{suffix}", subtype=subtype
    )


@pytest.mark.parametrize("container", ["WAV", "FLAC", "CAF", "AIFF", "W64", "AU"])
def test_whatever_may_be_chosen_is_written_as_it_should(tmp_path, container):
    """At full scale, where some of libsndfile's encoders fail."""
    noise = np.random.default_rng(0).uniform(-1, 1, (5001, 2))
    suffix = container.lower()
    source = write(tmp_path / f"in.{suffix}", noise, format=container)
    noise = soundfile.read(source)[0]
    written = 0
    for subtype in sorted(KEPT):
        target = tmp_path / f"{subtype}.{suffix}"
        with contextlib.suppress(AudioError):
            process_file(Through(), RATE, source, target, subtype=subtype)
            assert np.abs(soundfile.read(target)[0] - noise).max() < 0.03
            written += 1
    assert written > 2


def test_a_name_that_stands_for_nothing_is_refused(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    assert "expected a name ending in" in refused(tmp_path, source, "out.xyz")
    assert "expected a subtype of" in refused(tmp_path, source, subtype="VORBIS")


def test_a_rate_that_a_container_has_not_is_refused(tmp_path):
    source = write(tmp_path / "in.wav", tones(1, 0.1, 192000), 192000)
    message = refused(tmp_path, source, "out.mp3")
    assert "out.mp3" in message
    assert "192000 Hz" in message


def test_content_says_what_a_file_is(tmp_path):
    source = tmp_path / "really_mp3.wav"
    source.write_bytes(content(tones(), "MP3"))
    process_file(Through(), RATE, source, tmp_path / "out.wav")
    assert soundfile.info(str(tmp_path / "out.wav")).format == "WAV"
    raw = tmp_path / "really_wav.raw"
    raw.write_bytes(content(tones()))
    process_file(Through(), RATE, raw, tmp_path / "raw.wav")


def test_any_name_will_do(tmp_path):
    for name in ("später.wav", "音声.flac", "a b'\"$(c).wav", "-x.wav", "n\nl.wav"):
        source = write(tmp_path / name, tones())
        (out,) = process_file(Through(), RATE, source, tmp_path / f"out {name}")
        assert soundfile.info(str(out)).frames == RATE


def test_peaks_are_clipped_not_wrapped_and_said(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    loud = Through(gain=4.0)
    with pytest.warns(
        AudioWarning, match=r"out.wav: clipped, its peak of 1.6 is 4.1 dB"
    ):
        process_file(loud, RATE, source, tmp_path / "out.wav")
    out, expected = soundfile.read(tmp_path / "out.wav")[0], 4 * tones()[:, 0]
    np.testing.assert_allclose(out, expected.clip(-1, 1), atol=2e-4)


def test_floats_keep_their_peaks(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process_file(
            Through(gain=4.0), RATE, source, tmp_path / "out.wav", subtype="FLOAT"
        )
    out = soundfile.read(tmp_path / "out.wav")[0]
    np.testing.assert_allclose(out, 4 * tones()[:, 0], atol=1e-3)


def test_existing_files_stay_unless_they_may_go(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "out.wav").write_text("precious")
    assert "exists" in refused(tmp_path, source)
    process_file(Through(), RATE, source, tmp_path / "out.wav", force=True)
    assert soundfile.info(str(tmp_path / "out.wav")).frames == RATE


def test_what_may_be_replaced_stays_until_all_of_the_new_is_there(tmp_path):
    signal = tones(1, 20.0)
    signal[-1] = np.nan
    source = write(tmp_path / "in.wav", signal, subtype="FLOAT")
    (tmp_path / "out.wav").write_text("precious")
    assert "not a finite" in refused(tmp_path, source, force=True)
    assert (tmp_path / "out.wav").read_text() == "precious"


def test_the_input_is_never_written_onto(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    os.link(source, tmp_path / "hard.wav")
    (tmp_path / "soft.wav").symlink_to(source)
    for name in ("in.wav", "hard.wav", "soft.wav", "../" + tmp_path.name + "/in.wav"):
        message = refused(tmp_path, source, name, force=True)
        assert "the input itself" in message


@pytest.mark.parametrize("target", ["folder", "folder/", "."])
def test_a_folder_is_no_output(tmp_path, target):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "folder").mkdir()
    assert "a folder" in refused(tmp_path, source, target, force=True)


def test_devices_are_not_replaced(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    assert "regular" in refused(tmp_path, source, "/dev/null", force=True)
    assert Path("/dev/null").is_char_device()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    assert "in.wav/out.wav" in refused(tmp_path, source, "in.wav/out.wav")
    name = "x" * 300 + ".wav"
    assert name in refused(tmp_path, source, name)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_is_named(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked/out.wav" in refused(tmp_path, source, "locked/out.wav")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "No such file"),
        (lambda p: p.mkdir(), "a folder"),
        (lambda p: p.touch(), "empty"),
        (lambda p: p.write_text("RIFF is not what this is\n" * 9), "not a readable"),
        (lambda p: p.write_bytes(content(np.zeros((0, 1)))), "no samples"),
        (lambda p: p.symlink_to(p), "symbolic links"),
        (lambda p: os.mkfifo(p), "not a regular file"),
        (lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
        (lambda p: p.write_bytes(content(np.zeros((9, 1)), rate=500)), "500 Hz"),
        (lambda p: p.write_bytes(content(np.zeros((9, 65)))), "65 channels"),
        (lambda p: p.write_bytes(content(np.zeros((9, 1)))[:30]), "not a readable"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path, make, said):
    source = tmp_path / "bad.wav"
    make(source)
    message = refused(tmp_path, source)
    assert "bad.wav" in message
    assert said in message
    assert "expected" in message or "not a readable" in message


def test_no_channels_are_too_few(tmp_path):
    data = bytearray(content(tones()))
    data[22:24] = b"\0\0"
    (tmp_path / "none.wav").write_bytes(data)
    assert "none.wav" in refused(tmp_path, tmp_path / "none.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 30_000])
def test_samples_that_are_no_numbers_are_named(tmp_path, value, place):
    signal = tones(2, 5.0)
    signal[place, 1] = value
    source = write(tmp_path / "bad.wav", signal, subtype="FLOAT")
    assert f"bad.wav: sample {place} is not a finite" in refused(tmp_path, source)


def test_what_a_system_makes_infinite_is_not_written(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    message = refused(tmp_path, source, system=Through(gain=np.inf))
    assert "out.wav" in message
    assert "not finite" in message


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "W64", "FLAC", "MP3"])
def test_of_a_truncated_file_what_is_there_is_processed(tmp_path, container):
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * 10, 1))
    data = content(signal, container)
    source = tmp_path / "short.bin"
    source.write_bytes(data[: len(data) // 2])
    with pytest.warns(AudioWarning, match=r"short.bin: .*what is there is processed"):
        process_file(Through(), RATE, source, tmp_path / "out.wav")
    frames = soundfile.info(str(tmp_path / "out.wav")).frames
    assert RATE * 3 < frames < RATE * 7


def test_a_header_of_unknown_length_is_not_truncated(tmp_path):
    data = bytearray(content(tones()))
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "piped.wav").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process_file(Through(), RATE, tmp_path / "piped.wav", tmp_path / "out.wav")
    assert soundfile.info(str(tmp_path / "out.wav")).frames == RATE


def test_a_full_disk_is_said_and_nothing_left(tmp_path, monkeypatch):
    def full(self, data):
        # as soundfile does
        raise AssertionError

    source = write(tmp_path / "in.wav", tones())
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    assert "out.wav: not written" in refused(tmp_path, source)


def test_two_ears_need_two_channels(tmp_path):
    for channels in (1, 3):
        source = write(tmp_path / f"{channels}.wav", tones(channels))
        message = refused(tmp_path, source, system=Through(inputs=2))
        assert f"{channels}.wav: {channels} channel" in message
        assert "expected 2" in message


def test_channels_are_processed_each_on_its_own(tmp_path):
    signal = tones(3) * [1.0, 0.1, 0.01]
    source = write(tmp_path / "in.wav", signal, subtype="FLOAT")
    process_file(Levelled(), RATE, source, tmp_path / "out.wav")
    out = soundfile.read(tmp_path / "out.wav")[0]
    rms = np.sqrt(np.square(out).mean(0))
    np.testing.assert_allclose(rms / rms[0], [1, 0.1, 0.01], rtol=0.05)


def test_one_channel_may_be_chosen(tmp_path):
    source = write(tmp_path / "in.wav", tones(3), subtype="FLOAT")
    process_file(Through(), RATE, source, tmp_path / "out.wav", channel=2)
    out = soundfile.read(tmp_path / "out.wav")[0]
    np.testing.assert_allclose(out, tones(3)[:, 2], atol=1e-6)
    assert "number 3" in refused(tmp_path, source, "other.wav", channel=3)


def test_each_talker_has_a_file(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    out = process_file(Bands(3), RATE, source, tmp_path / "out.flac")
    assert [path.name for path in out] == ["out_1.flac", "out_2.flac", "out_3.flac"]
    total = sum(soundfile.read(path)[0] for path in out)
    np.testing.assert_allclose(total, tones()[:, 0], atol=1e-3)


def test_talkers_are_written_all_or_none(tmp_path):
    source = write(tmp_path / "in.wav", tones())
    (tmp_path / "out_2.wav").write_text("precious")
    assert "out_2.wav" in refused(tmp_path, source, system=Bands(3))


def test_separators_take_one_channel(tmp_path):
    source = write(tmp_path / "in.wav", tones(2))
    message = refused(tmp_path, source, system=Bands())
    assert "2 channels, expected 1" in message
    assert (
        len(process_file(Bands(), RATE, source, tmp_path / "out.wav", channel=1)) == 2
    )


def test_bytes_come_back_in_their_container():
    for container in ("WAV", "FLAC", "OGG", "MP3"):
        data = content(tones(2, 1.0, 16000), container, 16000)
        with AudioReader(process_bytes(Through(), RATE, data)) as out:
            kept = out.container, out.rate, out.channels, out.frames
        assert kept == (container, 16000, 2, 16000)
    assert len(separate_bytes(Bands(), RATE, content(tones()))) == 2
    with pytest.raises(ValueError, match="separates"):
        process_bytes(Bands(), RATE, data)
    with pytest.raises(AudioError, match="audio data: empty, expected an audio file"):
        process_bytes(Through(), RATE, b"")


def test_a_wav_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("speechbrain_fusion.inference.audio_writing.LARGEST", 10_000)
    source = write(tmp_path / "in.flac", tones())
    assert "4 GiB" in refused(tmp_path, source)
    process_file(Through(), RATE, source, tmp_path / "out.w64")


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
    assert len(system.calls) == 3
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
