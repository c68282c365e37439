"""Files through systems: every format, rate and number of channels comes back."""

import contextlib
import warnings

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.inference.audio_files import (
    process_bytes,
    process_file,
)
from speechbrain_fusion.inference.audio_reading import AudioReader, AudioWarning
from speechbrain_fusion.inference.audio_writing import KEPT
from speechbrain_fusion.inference.long_audio import CHUNK
from tests.inference.recordings import RATE, content, refused, tones, write
from tests.inference.stub_systems import Bands, Levelled, Through
from tests.models.test_system import SYSTEMS

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


@pytest.mark.slow
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


def test_two_ears_need_two_channels(tmp_path):
    for channels in (1, 3):
        source = write(tmp_path / f"{channels}.wav", tones(channels))
        message = refused(tmp_path, source, system=Through(inputs=2))
        assert f"{channels}.wav: {channels} channel" in message
        assert "expected 2" in message
    source = write(tmp_path / "2.wav", tones(2))
    message = refused(tmp_path, source, system=Through(inputs=2), channel=0)
    assert message.endswith("2.wav: channel 0 alone, expected 2")


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
        with AudioReader(*process_bytes(Through(), RATE, data)) as out:
            kept = out.container, out.rate, out.channels, out.frames
        assert kept == (container, 16000, 2, 16000)
    assert len(process_bytes(Bands(), RATE, content(tones()))) == 2
    with pytest.raises(AudioError, match="audio data: empty, expected an audio file"):
        process_bytes(Through(), RATE, b"")


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [11680]),
        ({"chunk": 1.0}, [8000, 8000]),
        ({"chunk": 0.5}, [4000, 4000, 4000, 4000]),
        ({"chunk": 0.5, "overlap": 0.02}, [4000, 4000, 4000]),
    ],
)
def test_files_are_heard_in_the_chunks_that_are_asked_for(options, sizes, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(11680), 8000)
    system = Through()
    process_file(system, 8000, tmp_path / "a.wav", tmp_path / "b.wav", **options)
    assert [shape[-1] for shape in system.calls] == sizes
