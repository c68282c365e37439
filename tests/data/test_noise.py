"""Synthetic noises, in physical terms: spectra, envelopes, lines, power."""

import numpy as np
import pytest
import scipy.signal

from speechbrain_fusion.data import noise
from speechbrain_fusion.data.audio import read
from speechbrain_fusion.data.demo import demo_speech_folder

RATE = 16000
LENGTH = 20 * RATE


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def octave_levels(signal: np.ndarray) -> np.ndarray:
    """Level per Hz in dB in the octaves around 62.5 Hz .. 4 kHz."""
    frequencies, power = scipy.signal.welch(signal, RATE, nperseg=8192)
    centres = 62.5 * 2.0 ** np.arange(7)
    bands = [
        (frequencies > centre / 2**0.5) & (frequencies < centre * 2**0.5)
        for centre in centres
    ]
    return 10 * np.log10([power[band].mean() for band in bands])


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    paths = sorted(demo_speech_folder().glob("test/*/*.ogg"))
    return [read(path)[0][0] for path in paths]


@pytest.mark.parametrize("kind", noise.KINDS)
@pytest.mark.parametrize("samples", [RATE, 16411])
def test_every_kind_has_its_length_its_level_and_no_clipping(kind, samples, speech):
    made = noise.synthetic_noise(kind, samples, RATE, generator(), speech)
    assert made.shape == (samples,)
    assert made.dtype == np.float32
    assert np.sqrt(np.mean(made**2)) == pytest.approx(noise.LEVEL, rel=1e-3)
    assert np.abs(made).max() <= noise.PEAK


@pytest.mark.parametrize("kind", noise.KINDS)
def test_the_generator_alone_decides(kind, speech):
    first, again, other = (
        noise.synthetic_noise(kind, RATE, RATE, generator(seed), speech)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.9


def test_white_noise_is_flat():
    levels = octave_levels(noise.white(LENGTH, RATE, generator()))
    np.testing.assert_allclose(levels, levels.mean(), atol=0.5)


def test_pink_noise_falls_by_3_db_per_octave():
    levels = octave_levels(noise.pink(LENGTH, RATE, generator()))
    np.testing.assert_allclose(np.diff(levels), -10 * np.log10(2), atol=0.5)


def test_speech_shaped_noise_has_the_spectrum_of_the_speech(speech):
    made = noise.speech_shaped(LENGTH, RATE, generator(), speech)
    # At another resolution than the 250 ms by which the noise is made.
    difference = octave_levels(made) - octave_levels(np.concatenate(speech))
    np.testing.assert_allclose(difference, difference.mean(), atol=1.0)


def test_speech_shaped_noise_is_steadier_than_speech(speech):
    def spread(signal):
        frames = signal[: signal.size // 1600 * 1600].reshape(-1, 1600)
        return np.std(10 * np.log10(np.mean(frames**2, axis=1) + 1e-12))

    made = noise.speech_shaped(LENGTH, RATE, generator(), speech)
    assert spread(made) < 2 < spread(np.concatenate(speech))


@pytest.mark.parametrize("frequency", [3.0, 7.5, 20.0])
@pytest.mark.parametrize("carrier", ["pink", "speech"])
def test_modulated_noise_has_an_envelope_at_its_frequency(frequency, carrier, speech):
    made = noise.modulated(
        LENGTH,
        RATE,
        generator(),
        speech if carrier == "speech" else None,
        frequency=frequency,
        depth=0.9,
    )
    power = made.astype(np.float64) ** 2
    spectrum = np.abs(np.fft.rfft(power - power.mean()))
    frequencies = np.fft.rfftfreq(LENGTH, 1 / RATE)
    slow = (frequencies > 1) & (frequencies < 64)
    assert frequencies[slow][spectrum[slow].argmax()] == pytest.approx(frequency)
    # (1 + d sin)^2 has a first harmonic of 2 d over a mean of 1 + d^2 / 2.
    depth = 2 * spectrum[slow].max() / LENGTH / power.mean()
    assert depth == pytest.approx(2 * 0.9 / (1 + 0.9**2 / 2), rel=0.1)


def test_modulation_of_no_depth_leaves_the_carrier_steady():
    made = noise.modulated(LENGTH, RATE, generator(), frequency=5.0, depth=0.0)
    power = made.astype(np.float64) ** 2
    line = 2 * np.abs(np.fft.rfft(power))[round(5.0 * LENGTH / RATE)] / LENGTH
    assert line < 0.05 * power.mean()


@pytest.mark.parametrize("fundamental", [50.0, 110.0, 900.0])
def test_engine_has_lines_at_the_multiples_of_its_fundamental(fundamental):
    made = noise.engine(
        LENGTH, RATE, generator(), fundamental, drift=0.0, broadband=0.0
    )
    power = np.abs(np.fft.rfft(made.astype(np.float64))) ** 2
    count = min(noise.HARMONICS, int(7999 // fundamental))
    lines = np.round(fundamental * np.arange(1, count + 1) * LENGTH / RATE).astype(int)
    assert power[lines].sum() > 0.9999 * power.sum()
    # Amplitudes fall as 1 / order.
    levels = 10 * np.log10(power[lines])
    expected = levels[0] - 20 * np.log10(np.arange(1, count + 1))
    np.testing.assert_allclose(levels, expected, atol=0.1)


def test_engine_drifts_no_farther_than_it_may():
    made = noise.engine(
        LENGTH, RATE, generator(), fundamental=1000.0, drift=0.05, broadband=0.0
    )
    filters = scipy.signal.butter(8, [800, 1200], "band", fs=RATE, output="sos")
    first = scipy.signal.hilbert(scipy.signal.sosfiltfilt(filters, made))
    frequency = np.diff(np.unwrap(np.angle(first)))[RATE:-RATE] * RATE / (2 * np.pi)
    assert 949 < frequency.min() < 990
    assert 1010 < frequency.max() < 1051


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_engine_has_its_share_of_broadband_noise(share):
    made = noise.engine(LENGTH, RATE, generator(), 100.0, drift=0.0, broadband=share)
    power = np.abs(np.fft.rfft(made.astype(np.float64))) ** 2
    lines = np.arange(1, noise.HARMONICS + 1) * 100 * LENGTH // RATE
    assert 1 - power[lines].sum() / power.sum() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("talkers", [1, 3, 6])
def test_babble_has_as_many_talkers_of_equal_power(talkers):
    # Utterances of one click each, loud or quiet: every talker says one of them.
    clicks = np.zeros((2, RATE))
    clicks[:, 0] = 1.0, 0.1
    made = noise.babble(RATE, RATE, generator(), [*clicks], talkers)
    said = made[made != 0]
    assert said.size == talkers
    np.testing.assert_allclose(said, said[0], rtol=1e-6)


def test_babble_needs_no_more_than_one_utterance_shorter_than_itself():
    utterance = generator().standard_normal(1000)
    made = noise.babble(3000, RATE, generator(), [utterance], talkers=1)
    np.testing.assert_array_equal(made[:1000], made[1000:2000])
    np.testing.assert_allclose(np.sort(made[:1000]), np.sort(made[2000:]))


def test_more_talkers_make_steadier_babble(speech):
    kurtosis = [
        np.mean(signal**4) / np.mean(signal**2) ** 2
        for signal in (
            noise.babble(LENGTH, RATE, generator(), speech, talkers)
            for talkers in (1, 4, 16)
        )
    ]
    assert kurtosis[0] > kurtosis[1] > kurtosis[2] > 3


def test_peaks_are_kept_from_clipping():
    click = np.zeros(RATE)
    click[0] = 1.0
    made = noise.babble(RATE, RATE, generator(), [click], talkers=1)
    assert np.abs(made).max() == pytest.approx(noise.PEAK)


def test_an_unknown_kind_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"kind: .*'white', 'pink', 'speech.*'brown'"):
        noise.synthetic_noise("brown", RATE, RATE, generator())


@pytest.mark.parametrize("kind", ["speech_shaped", "babble"])
@pytest.mark.parametrize("speech", [None, [], [np.zeros(RATE)]])
def test_kinds_made_from_speech_say_that_they_need_it(kind, speech):
    with pytest.raises(ValueError, match="speech: expected utterances"):
        noise.synthetic_noise(kind, RATE, RATE, generator(), speech)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("modulated", {"depth": 1.5}, "depth"),
        ("engine", {"fundamental": 9000.0}, "fundamental"),
        ("engine", {"broadband": -0.1}, "broadband"),
        ("babble", {"talkers": 0}, "talkers"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, message, speech):
    with pytest.raises(ValueError, match=message):
        noise.synthetic_noise(kind, RATE, RATE, generator(), speech, **options)
