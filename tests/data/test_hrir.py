"""Head-related responses from files: what is read, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import sofar

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.hrir import HeadResponses, load_responses, rigid_sphere

ROOM, ANECHOIC = (
    f"unis_cortex_{place}_horizontal_16k.npz" for place in ("roomA", "anechoic")
)


def measured(name):
    path = Path(os.environ.get("SBF_REAL_DATA", "")) / "hrir" / name
    if not os.environ.get("SBF_REAL_DATA") or not path.is_file():
        pytest.skip(f"SBF_REAL_DATA names no folder with hrir/{name}")
    return path


@pytest.fixture(scope="module")
def head():
    return rigid_sphere(16000, range(0, 360, 30))


def write_npz(path, head, **changes):
    values = {"azimuth_deg": head.azimuth, "ir": head.responses, "fs": head.rate}
    np.savez(path, **{k: v for k, v in {**values, **changes}.items() if v is not None})
    return path


def write_sofa(path, head, **changes):
    sofa = sofar.Sofa("SimpleFreeFieldHRIR", verify=False)
    level = np.zeros_like(head.azimuth)
    sofa.Data_IR, sofa.Data_SamplingRate = head.responses.astype(float), head.rate
    sofa.SourcePosition = np.stack([head.azimuth, level, level + 1.5], axis=1)
    sofa.ReceiverPosition = np.array([[0, 0.09, 0], [0, -0.09, 0]])
    for key, value in changes.items():
        setattr(sofa, key, value)
    sofar.write_sofa(str(path), sofa)
    return path


def same(actual: HeadResponses, expected: HeadResponses) -> bool:
    return np.array_equal(actual.azimuth, expected.azimuth) and np.allclose(
        actual.responses, expected.responses, atol=1e-6
    )


def levels(head):
    energy = (head.responses.astype(float) ** 2).sum(-1)
    return 10 * np.log10(energy[:, 0] / energy[:, 1])


def delays(head, oversampling=16):
    """Lag of the peak of the interaural cross-correlation, in microseconds."""
    left, right = np.moveaxis(np.fft.rfft(head.responses, 8192), 1, 0)
    correlation = np.fft.irfft(right * left.conj(), 8192 * oversampling)
    lag = correlation.argmax(-1)
    lag = np.where(lag > 4096 * oversampling, lag - 8192 * oversampling, lag)
    return 1e6 * lag / oversampling / head.rate


def test_sphere_needs_no_file():
    head = load_responses("sphere", 8000)
    assert head.rate == 8000
    assert head.azimuth.tolist() == list(range(0, 360, 5))


@pytest.mark.parametrize("write", [write_npz, write_sofa])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_a_written_set_is_read_back(write, rate, head, tmp_path):
    path = write(tmp_path / f"set.{write.__name__[6:]}", head)
    loaded = load_responses(path, rate)
    assert (loaded.rate, loaded.name) == (rate, str(path))
    assert same(loaded, head.resampled(rate))


def test_directions_may_stand_in_any_order_and_turn(head, tmp_path):
    azimuth = (head.azimuth + 180) % 360 - 180
    order = np.random.default_rng(0).permutation(len(azimuth))
    changes = {"azimuth_deg": azimuth[order], "ir": head.responses[order]}
    assert same(
        load_responses(write_npz(tmp_path / "a.npz", head, **changes), 16000), head
    )


@pytest.mark.parametrize("write", [write_npz, write_sofa])
def test_mirrored_azimuths_are_refused_and_can_be_turned(write, head, tmp_path):
    mirrored = HeadResponses.from_directions(-head.azimuth, head.responses, 16000, "")
    path = write(tmp_path / f"set.{write.__name__[6:]}", mirrored)
    with pytest.raises(AudioError, match=r"set\..*contradict.*say clockwise: true"):
        load_responses(path, 16000)
    assert same(load_responses(path, 16000, clockwise=True), head)


def test_right_azimuths_are_not_turned(head, tmp_path):
    path = write_npz(tmp_path / "set.npz", head)
    with pytest.raises(AudioError, match="say clockwise: false"):
        load_responses(path, 16000, clockwise=True)


def test_aligned_responses_pass_by_level_alone(head, tmp_path):
    aligned = np.zeros_like(head.responses)
    aligned[..., 10] = np.linalg.norm(head.responses, axis=-1)
    path = write_npz(tmp_path / "set.npz", head, ir=aligned)
    assert load_responses(path, 16000).responses.shape == aligned.shape


def test_one_direction_ahead_contradicts_nothing(tmp_path):
    ahead = rigid_sphere(16000, [0])
    assert same(load_responses(write_npz(tmp_path / "a.npz", ahead), 16000), ahead)


def test_sofa_receivers_tell_the_ears(head, tmp_path):
    swapped = head.responses[:, ::-1].astype(float)
    ears = np.array([[0, -0.09, 0], [0, 0.09, 0]])
    path = write_sofa(tmp_path / "a.sofa", head, Data_IR=swapped, ReceiverPosition=ears)
    assert same(load_responses(path, 16000), head)


def test_sofa_receivers_may_be_spherical(head, tmp_path):
    ears = {
        "ReceiverPosition": np.array([[90, 0, 0.09], [270, 0, 0.09]]),
        "ReceiverPosition_Type": "spherical",
        "ReceiverPosition_Units": "degree, degree, metre",
    }
    assert same(
        load_responses(write_sofa(tmp_path / "a.sofa", head, **ears), 16000), head
    )


def test_sofa_sources_may_be_cartesian(head, tmp_path):
    angle = np.deg2rad(head.azimuth)
    position = 1.5 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    changes = {
        "SourcePosition": position,
        "SourcePosition_Type": "cartesian",
        "SourcePosition_Units": "metre",
    }
    path = write_sofa(tmp_path / "a.sofa", head, **changes)
    assert same(load_responses(path, 16000), head)


def test_sofa_sources_are_seen_from_a_moved_and_turned_listener(head, tmp_path):
    angle = np.deg2rad(head.azimuth)
    position = 1.5 * np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
    changes = {
        "SourcePosition": position + np.array([3.0, -2.0, 1.2]),
        "SourcePosition_Type": "cartesian",
        "SourcePosition_Units": "metre",
        "ListenerPosition": np.array([[3.0, -2.0, 1.2]]),
        "ListenerView": np.array([[0.0, 1.0, 0.0]]),
    }
    path = write_sofa(tmp_path / "a.sofa", head, **changes)
    assert same(load_responses(path, 16000), head)


def test_a_turning_listener_and_one_source_are_many_directions(head, tmp_path):
    angle = np.deg2rad(-head.azimuth)
    view = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    changes = {"SourcePosition": np.array([[0, 0, 1.5]]), "ListenerView": view}
    path = write_sofa(tmp_path / "a.sofa", head, **changes)
    assert same(load_responses(path, 16000), head)


def test_whole_sofa_delays_move_the_responses(head, tmp_path):
    path = write_sofa(tmp_path / "a.sofa", head, Data_Delay=np.array([[7.0, 7.0]]))
    loaded = load_responses(path, 16000).responses
    np.testing.assert_allclose(loaded[..., 7:199], head.responses, atol=1e-6)
    np.testing.assert_allclose(loaded[..., :7], 0, atol=1e-6)
    np.testing.assert_allclose(loaded[..., 199:], 0, atol=1e-6)


def test_fractional_sofa_delays_are_part_of_the_interaural_delay(head, tmp_path):
    delay = np.zeros((len(head.azimuth), 2))
    delay[:, 1] = 2.5
    right_later = write_sofa(tmp_path / "a.sofa", head, Data_Delay=delay)
    change = delays(load_responses(right_later, 16000)) - delays(head)
    np.testing.assert_allclose(change, 1e6 * 2.5 / 16000, atol=5)


def test_sofa_keeps_the_directions_at_the_elevation(head, tmp_path):
    elevation = np.where(np.arange(12) % 2, 30.3, -0.2)
    position = np.stack([head.azimuth, elevation, elevation * 0 + 1], axis=1)
    path = write_sofa(tmp_path / "a.sofa", head, SourcePosition=position)
    assert load_responses(path, 16000).azimuth.tolist() == list(range(0, 360, 60))
    raised = load_responses(path, 16000, elevation=30)
    assert raised.azimuth.tolist() == list(range(30, 360, 60))
    with pytest.raises(AudioError, match=r"a\.sofa: no direction at elevation 10;"):
        load_responses(path, 16000, elevation=10)


def broken(head, value, direction=3):
    responses = head.responses.copy()
    responses[direction, 1] = value
    return {"ir": responses}


BAD_NPZ = {
    "no azimuths": (lambda h: {"azimuth_deg": None}, "no key azimuth_deg; expected"),
    "no responses": (lambda h: {"ir": None}, "no key ir; expected"),
    "no rate": (lambda h: {"fs": None}, "no key fs; expected"),
    "mono": (lambda h: {"ir": h.responses[:, 0]}, "ir has shape .*2 ears"),
    "one ear": (lambda h: {"ir": h.responses[:, :1]}, "ir has shape .*2 ears"),
    "no taps": (lambda h: {"ir": h.responses[..., :0]}, "ir has shape .*taps"),
    "azimuth lost": (
        lambda h: {"azimuth_deg": h.azimuth[1:]},
        "azimuth_deg has 11 directions; expected 12",
    ),
    "azimuth table": (
        lambda h: {"azimuth_deg": np.stack([h.azimuth] * 2)},
        r"azimuth_deg has shape \(2, 12\)",
    ),
    "NaN": (lambda h: broken(h, np.nan), "ir: expected finite numbers"),
    "infinity": (lambda h: broken(h, np.inf), "ir: expected finite numbers"),
    "silence": (lambda h: broken(h, 0), "all-zero response at azimuth 90"),
    "rate 0": (lambda h: {"fs": 0}, "fs is 0; expected one positive"),
    "rate -1": (lambda h: {"fs": -1}, "fs is -1; expected one positive"),
    "rate 0.5": (lambda h: {"fs": 0.5}, "fs is 0.5; expected one positive"),
    "two rates": (lambda h: {"fs": [1, 2]}, r"fs is \[1, 2\]; expected one"),
    "text": (lambda h: {"fs": "16 kHz"}, "fs: expected finite numbers"),
    "twice": (lambda h: {"azimuth_deg": h.azimuth % 330}, "azimuth 0 is there twice"),
    "pickle": (lambda h: {"ir": np.array([None])}, "not a readable .npz"),
}


@pytest.mark.parametrize(("change", "message"), BAD_NPZ.values(), ids=BAD_NPZ)
def test_a_bad_npz_is_refused_by_name(change, message, head, tmp_path):
    path = write_npz(tmp_path / "bad.npz", head, **change(head))
    with pytest.raises(AudioError, match=rf"bad\.npz: {message}"):
        load_responses(path, 16000)


BAD_SOFA = {
    "one ear": (lambda h: {"Data_IR": h.responses[:, :1] * 1.0}, "Data_IR has shape"),
    "same side": (
        lambda h: {"ReceiverPosition": np.array([[0, 0.1, 0], [0, 0.2, 0]])},
        "ReceiverPosition has y = .*one ear on the left",
    ),
    "rate 0": (lambda h: {"Data_SamplingRate": 0.0}, "Data_SamplingRate is 0.0"),
    "NaN": (lambda h: {"Data_IR": h.responses * np.nan}, "Data_IR: expected finite"),
    "silence": (lambda h: {"Data_IR": h.responses * 0.0}, "all-zero response at"),
    "position lost": (
        lambda h: {"SourcePosition": np.array([[0, 0, 1.0], [90, 0, 1.0]])},
        "SourcePosition has 2 directions; expected 12",
    ),
    "early": (lambda h: {"Data_Delay": np.array([[-1.0, 0]])}, "Data_Delay: expected"),
    "distances": (
        lambda h: {"SourcePosition": np.array([[30.0, 0, 1 + i] for i in range(12)])},
        "azimuth 30 is there twice; expected each once, at one distance",
    ),
    "harmonics": (
        lambda h: {"SourcePosition_Type": "spherical harmonics"},
        "SourcePosition_Type is spherical harmonics",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_SOFA.values(), ids=BAD_SOFA)
def test_a_bad_sofa_is_refused_by_name(change, message, head, tmp_path, monkeypatch):
    good = sofar.read_sofa(write_sofa(tmp_path / "bad.sofa", head), False, False)
    for key, value in change(head).items():
        setattr(good, key, value)
    # sofar writes no file as wrong as this: hand over what reading one would give.
    monkeypatch.setattr(sofar, "read_sofa", lambda *_, **__: good)
    with pytest.raises(AudioError, match=rf"bad\.sofa: {message}"):
        load_responses(tmp_path / "bad.sofa", 16000)


@pytest.mark.parametrize("suffix", ["npz", "sofa"])
def test_missing_and_corrupt_files_are_refused_by_name(suffix, tmp_path):
    path = tmp_path / f"set.{suffix}"
    with pytest.raises(AudioError, match=rf"set\.{suffix}: no such file"):
        load_responses(path, 16000)
    for content in (b"", b"no responses in here" * 100):
        path.write_bytes(content)
        with pytest.raises(AudioError, match=rf"set\.{suffix}: not a readable"):
            load_responses(path, 16000)


@pytest.mark.parametrize("write", [write_npz, write_sofa])
def test_a_file_cut_short_is_refused_by_name(write, head, tmp_path):
    path = write(tmp_path / f"set.{write.__name__[6:]}", head)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"set\..*: not a readable"):
        load_responses(path, 16000)


def test_an_array_in_place_of_an_archive_is_refused(tmp_path):
    with (tmp_path / "set.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(AudioError, match=r"set\.npz: not a readable"):
        load_responses(tmp_path / "set.npz", 16000)


@pytest.mark.parametrize("name", ["set.wav", "set", "Sphere"])
def test_an_unknown_suffix_is_refused_by_name(name):
    with pytest.raises(AudioError, match=f"{name}: unknown kind.*'sphere'.*npz.*sofa"):
        load_responses(name, 16000)


@pytest.mark.parametrize("source", ["sphere", "set.npz"])
@pytest.mark.parametrize("rate", [0, -16000])
def test_the_wanted_rate_is_positive(source, rate, head, tmp_path):
    path = source if source == "sphere" else write_npz(tmp_path / source, head)
    with pytest.raises(ValueError, match=f"rate is {rate} Hz; expected a positive"):
        load_responses(path, rate)


def test_elevation_needs_a_sofa_file(head, tmp_path):
    path = write_npz(tmp_path / "set.npz", head)
    with pytest.raises(AudioError, match=r"set\.npz: no direction at elevation 10"):
        load_responses(path, 16000, elevation=10)
    with pytest.raises(ValueError, match="sphere: expected elevation 0"):
        load_responses("sphere", 16000, elevation=10)


def test_without_sofar_the_extra_is_named(tmp_path, hide_library):
    hide_library("sofar")
    (tmp_path / "set.sofa").touch()
    with pytest.raises(
        ImportError, match=r"pip install \"speechbrain-fusion\[sofa\]\""
    ):
        load_responses(tmp_path / "set.sofa", 16000)


def test_kemar_sofa_agrees_with_its_npz():
    sofa = load_responses(measured("mit_kemar_normal_pinna.sofa"), 16000)
    npz = load_responses(measured("mit_kemar_normal_horizontal_16k.npz"), 16000)
    np.testing.assert_array_equal(sofa.azimuth, npz.azimuth)
    hertz = np.arange(200, 6500, 100)
    first, second = (
        np.fft.rfft(head.responses, 16000)[..., hertz] for head in (sofa, npz)
    )
    # Two resamplers: alike but near the edge of the band.
    assert np.linalg.norm(first - second) < 0.02 * np.linalg.norm(second)


def test_unis_sofa_runs_clockwise_and_agrees_with_its_npz_when_turned():
    path = measured("UniS_Anechoic_BRIR_16k.sofa")
    with pytest.raises(AudioError, match=r"UniS_Anechoic.*say clockwise: true"):
        load_responses(path, 16000)
    turned = load_responses(path, 16000, clockwise=True)
    assert same(turned, load_responses(measured(ANECHOIC), 16000))


def test_a_rooms_direct_part_has_the_cues_of_the_free_field():
    room = load_responses(measured(ROOM), 16000)
    direct = room.direct()
    free = load_responses(measured(ANECHOIC), 16000).direct()
    np.testing.assert_allclose(delays(direct), delays(free), atol=30)
    np.testing.assert_allclose(levels(direct), levels(free), atol=3)
    error, before = (np.abs(levels(h) - levels(free)).mean() for h in (direct, room))
    assert error < 0.5 * before


def test_a_rooms_direct_part_has_no_reverberation():
    room = load_responses(measured(ROOM), 16000)
    direct, taps = room.direct(), room.direct().responses.shape[-1]
    assert taps < 0.01 * 16000
    assert (room.responses[..., taps:] ** 2).sum() > 0.1 * (room.responses**2).sum()
    lost = (room.responses[..., : taps - 30] - direct.responses[..., : taps - 30]) ** 2
    assert lost.sum() < 0.01 * (room.responses**2).sum()


def test_a_measured_heads_delays_are_near_the_spheres():
    kemar = load_responses(measured("mit_kemar_normal_horizontal_16k.npz"), 16000)
    frontal = np.abs((kemar.azimuth + 180) % 360 - 180) <= 60
    expected = delays(load_responses("sphere", 16000))[frontal]
    np.testing.assert_allclose(delays(kemar)[frontal], expected, atol=50)
