"""Rooms: responses begin with the direct path, and what cannot be one is refused."""

import numpy as np
import pytest
import soundfile

from speechbrain_fusion.data import rooms
from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.rooms import (
    decaying_noise,
    demo_rooms,
    inspect_rooms,
    read_response,
    reverberate,
    simulate_rooms,
)
from tests.data.daps_tree import write_rooms
from tests.data.librimix_tree import write


def lag_of(one: np.ndarray, other: np.ndarray) -> int:
    """Find by how many samples one signal is later than the other."""
    return int(np.correlate(one, other, "full").argmax()) - (other.size - 1)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_response_begins_with_its_direct_path(tmp_path, rate):
    response = np.zeros(3000)
    response[[200, 1000]] = -0.4, 0.2
    early = 0.1 * np.random.default_rng(0).standard_normal(3000)
    write(tmp_path / "hall.wav", np.stack([response, early], 1), rate)
    found = read_response(tmp_path / "hall.wav", 16000)
    assert found[0] == 1
    assert np.abs(found[1:]).max() < 0.55
    echo = round(800 * 16000 / rate)
    assert found[echo - 1 : echo + 2].min() == pytest.approx(-0.5, abs=0.06)


def test_reverberant_speech_is_aligned_with_dry_speech(tmp_path):
    speech = np.random.default_rng(0).standard_normal(4000)
    for number in range(4):
        write_rooms(tmp_path)
        response = read_response(tmp_path / f"room{number}.wav", 16000)
        heard = reverberate(speech, response)
        assert heard.shape == speech.shape
        assert heard.dtype == np.float32
        assert lag_of(heard, speech) == 0
        np.testing.assert_allclose(
            heard, np.convolve(speech, response)[:4000], atol=1e-5
        )
    # before the first echo there is the direct path alone
    np.testing.assert_allclose(heard[:300], speech[:300], atol=1e-5)


def test_folders_and_files_name_the_rooms(tmp_path):
    write_rooms(tmp_path, count=2)
    write_rooms(tmp_path / "hall" / "near", count=2)
    found = inspect_rooms(tmp_path, 16000, 2.0)
    assert [entry["room"] for entry in found.values()] == [
        *("hall", "hall", "room0", "room1")
    ]


def test_unusable_responses_are_told_each(tmp_path):
    write_rooms(tmp_path, count=1)
    ones = np.full(1000, 0.1)
    write(tmp_path / "low.wav", ones, 8000)
    write(tmp_path / "zeros.wav", 0 * ones, 16000)
    write(tmp_path / "long.wav", np.full(40000, 0.1), 16000)
    click = np.concatenate([[0.99, -0.98], np.zeros(300), np.full(300, 0.9)])
    write(tmp_path / "high.wav", click, 48000)
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "nan.wav", np.nan * ones, 16000, subtype="FLOAT")
    found = inspect_rooms(tmp_path, 16000, 2.0)
    problems = {
        path.stem: str(x) for path, x in found.items() if isinstance(x, AudioError)
    }
    for name, reason in {
        "low": "rate 8000 Hz, expected at least 16000 Hz",
        "zeros": "silent",
        "long": "2.5 s, expected an impulse response no longer than the clip (segment)",
        "high": "no direct path below 8000 Hz",
        "text": "not a readable audio file",
        "nan": "holds NaN",
    }.items():
        assert problems.pop(name).startswith(f"{tmp_path / name}.wav: {reason}")
    assert not problems
    with pytest.raises(AudioError, match=r"zeros\.wav: silent, expected an impulse"):
        read_response(tmp_path / "zeros.wav", 16000)
    (tmp_path / "none").mkdir()
    with pytest.raises(AudioError, match="none: no impulse response, expected"):
        inspect_rooms(tmp_path / "none", 16000, 2.0)


def decay_time(response: np.ndarray, rate: int) -> float:
    """Measure by Schroeder's integral how long 60 dB take, from -5 to -25 dB."""
    energy = np.square(response[1:])[::-1].cumsum()[::-1]
    level = 10 * np.log10(energy / energy[0])
    first, last = (int((level < bound).argmax()) for bound in (-5, -25))
    return 3 * (last - first) / rate


@pytest.mark.parametrize("time", [0.2, 0.45, 0.7])
def test_made_up_rooms_decay_in_their_time(time):
    response = decaying_noise(time, 16000, np.random.default_rng(1))
    assert decay_time(response, 16000) == pytest.approx(time, rel=0.15)
    assert np.abs(response).argmax() == 0
    direct = -10 * np.log10(np.square(response[1:]).sum())
    assert direct == pytest.approx(3.0)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_2_ms_behind_the_direct_sound_are_silent_as_no_wall_is_so_near(rate):
    response = decaying_noise(0.4, rate, np.random.default_rng(2))
    first = {8000: 16, 16000: 32, 48000: 96}[rate]
    assert response[0] == 1
    assert not response[1:first].any()
    assert response[first:].all()


def test_demo_rooms_are_the_same_each_time_and_ring_longer_and_longer(tmp_path):
    one, other = demo_rooms(tmp_path / "one"), demo_rooms(tmp_path / "other")
    found = [soundfile.read(path)[0] for path in sorted(one.glob("*.wav"))]
    for path, response in zip(sorted(other.glob("*.wav")), found, strict=True):
        np.testing.assert_array_equal(response, soundfile.read(path)[0])
    times = [decay_time(response, 16000) for response in found]
    assert len(times) == 8
    assert times == sorted(times)
    assert len(inspect_rooms(one, 16000, 0.5)) == 8
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.wav").touch()
    with pytest.raises(FileExistsError, match="full"):
        demo_rooms(tmp_path / "full")


@pytest.mark.slow
def test_simulated_rooms_follow_from_seed_and_number(tmp_path):
    folders = [
        simulate_rooms(tmp_path / name, count, 8000, seed)
        for name, count, seed in (("one", 2, 0), ("more", 3, 0), ("other", 2, 1))
    ]
    sounds = [read_response(folder / "simulated_2.wav", 8000) for folder in folders]
    np.testing.assert_array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])
    for entry in inspect_rooms(folders[1], 8000, 0.7).values():
        assert entry["room"] == entry["name"]
        response = soundfile.read(entry["file"])[0]
        assert np.abs(response).argmax() == 0
        assert 0.1 < decay_time(response, 8000) < 1.2
    with pytest.raises(ValueError, match="simulated_rooms: expected 1 at least, got 0"):
        simulate_rooms(tmp_path / "none", 0, 8000)


def test_rooms_whose_walls_cannot_be_are_drawn_again():
    class Library:
        tries = 0

        def inverse_sabine(self, time, size):
            self.tries += 1
            if self.tries < 3:
                raise ValueError
            return 0.5, 3

    library = Library()
    time, size, *walls = rooms._draw_room(library, np.random.default_rng(0))
    assert (library.tries, walls) == (3, [0.5, 3])
    assert 0.2 <= time <= 0.7
    assert size.shape == (3,)


def test_talkers_and_microphones_are_half_a_metre_from_all_walls(tmp_path, monkeypatch):
    places = []

    class Box:
        rir = (([1.0],),)

        def __init__(self, size, **options):
            self.size = size

        def add_source(self, place):
            places.append((place, self.size - place))

        add_microphone = add_source

        def compute_rir(self):
            pass

    monkeypatch.setattr("pyroomacoustics.ShoeBox", Box)
    simulate_rooms(tmp_path / "rooms", 200, 8000)
    assert np.shape(places) == (2 * 200, 2, 3)
    # anywhere else they may be
    assert 0.5 <= np.min(places) < 0.51


def test_without_the_library_the_extra_is_named(tmp_path, hide_library):
    hide_library("pyroomacoustics")
    with pytest.raises(ImportError, match=r'install "speechbrain-fusion\[rooms\]"'):
        simulate_rooms(tmp_path / "rooms", 1, 8000)
    assert not (tmp_path / "rooms").exists()
