"""NOISEX-92 in both of its forms, and which noise is on which side."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import soundfile

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.inspection import inspect
from speechbrain_fusion.data.noisex import (
    find_noisex,
    noise_files,
    read_mat,
    side_noises,
)
from tests.data.daps_tree import write_noises
from tests.data.librimix_tree import write


def names(found):
    return {side: [path.name for path in paths] for side, paths in found.items()}


def test_matlab_files_become_float_sound_files_of_the_rate_given(tmp_path):
    folder = write_noises(tmp_path / "noise")
    path = find_noisex(folder, tmp_path / "wav", rate=19980)["train"][0]
    assert path == tmp_path / "wav" / "noise0.wav"
    signal, rate = soundfile.read(path)
    original = scipy.io.loadmat(folder / "noise0.mat")["noise0"].ravel()
    assert rate == 19980
    assert soundfile.info(path).subtype == "FLOAT"
    assert np.abs(signal).max() == pytest.approx(0.99)
    scale = 0.99 / np.abs(original).max()
    np.testing.assert_allclose(signal, scale * original, atol=1e-6)


def test_conversion_happens_once_and_again_for_what_has_changed(tmp_path):
    folder = write_noises(tmp_path / "noise")
    path = noise_files(folder, tmp_path / "wav")[Path("noise0")]
    before = path.stat().st_mtime_ns
    noise_files(folder, tmp_path / "wav")
    assert path.stat().st_mtime_ns == before
    scipy.io.savemat(folder / "noise0.mat", {"noise0": np.arange(3000.0)})
    noise_files(folder, tmp_path / "wav")
    assert soundfile.info(path).frames == 3000
    noise_files(folder, tmp_path / "wav", rate=16000)
    assert soundfile.info(path).samplerate == 16000


def test_of_both_forms_of_a_noise_the_sound_file_is_taken(tmp_path):
    folder = write_noises(tmp_path / "noise", count=2)
    scipy.io.savemat(folder / "noise1.mat", {"noise1": np.ones(3000)})
    found = noise_files(folder, tmp_path / "wav")
    assert [path.name for path in found.values()] == ["noise0.wav", "noise1.wav"]
    assert found[Path("noise1")].parent == folder


def test_all_unusable_matlab_files_are_listed(tmp_path):
    folder = write_noises(tmp_path / "noise")
    contents = {
        "babble": {"noise": np.ones(9), "fs": 19980},
        "empty": {},
        "matrix": {"matrix": np.ones((3, 4))},
        "complex": {"complex": np.ones(9) * 1j},
        "text": {"text": "white noise"},
        "silent": {"silent": np.zeros(9)},
        "broken": {"broken": np.array([1, np.nan])},
    }
    for name, content in contents.items():
        scipy.io.savemat(folder / f"{name}.mat", content)
    (folder / "torn.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(AudioError) as caught:
        find_noisex(folder, tmp_path / "wav")
    first, *lines = str(caught.value).splitlines()
    assert first == "8 unusable files:"
    for name, reason in {
        "babble": "no variable babble, found noise, fs",
        "empty": "no variable empty, found none",
        "matrix": "variable matrix is float64 [3, 4], expected a vector of real",
        "complex": "variable complex is complex128 [1, 9], expected a vector",
        "text": "variable text is <U11 [1], expected a vector",
        "silent": "variable silent is silent or not finite",
        "broken": "variable broken is silent or not finite",
        "torn": "not readable, expected a .mat of version 5 with torn",
    }.items():
        start = f"  {folder / name}.mat: {reason}"
        assert any(line.startswith(start) for line in lines), (start, lines)
    assert not (tmp_path / "wav").exists()


@pytest.mark.parametrize("shape", [(9,), (9, 1), (1, 9)])
@pytest.mark.parametrize("kind", [np.int16, np.float64])
def test_rows_and_columns_of_any_real_numbers_are_vectors(tmp_path, shape, kind):
    values = np.arange(9).reshape(shape).astype(kind)
    scipy.io.savemat(tmp_path / "m109.mat", {"m109": values})
    assert read_mat(tmp_path / "m109.mat").tolist() == pytest.approx(
        (0.99 * np.arange(9) / 8).tolist()
    )


def test_noises_are_on_sides_as_a_whole_or_shared_in_time(tmp_path):
    folder = write_noises(tmp_path / "noise", count=10)
    found = find_noisex(folder, tmp_path / "wav")
    assert [len(paths) for paths in found.values()] == [6, 2, 2]
    assert len({path for paths in found.values() for path in paths}) == 10
    shared = find_noisex(folder, tmp_path / "wav", disjoint=False)
    assert [len(paths) for paths in shared.values()] == [10, 0, 0]
    described = {path: inspect(path, 16000) for path in shared["train"]}
    whole = side_noises(found, described, disjoint=True)
    assert all("first" not in x for side in whole.values() for x in side.values())
    parts = side_noises(shared, described, disjoint=False)
    for path in map(str, shared["train"]):
        first, second, third = (
            (part[path]["first"], part[path]["samples"]) for part in parts.values()
        )
        assert first[0] == 0
        assert second[0] == first[1]
        assert third == (second[0] + second[1], 59940 - second[0] - second[1])


def test_folders_or_names_decide_where_a_noise_is(tmp_path):
    folder = write_noises(tmp_path / "noise")
    split = {"valid": ["noise2"], "test": ["noise0", "noise3"]}
    found = find_noisex(folder, tmp_path / "wav", split)
    assert names(found) == {
        "train": ["noise1.wav", "noise4.wav"],
        "valid": ["noise2.wav"],
        "test": ["noise0.wav", "noise3.wav"],
    }
    moved = {"train": "noise1.wav", "valid": "noise2.wav", "test": "noise0.mat"}
    for side, name in moved.items():
        (folder / side).mkdir()
        shutil.move(folder / name, folder / side)
    found = find_noisex(folder, tmp_path / "wav")
    assert names(found) == {
        "train": ["noise1.wav"],
        "valid": ["noise2.wav"],
        "test": ["noise0.wav"],
    }
    assert found["test"] == [tmp_path / "wav" / "test" / "noise0.wav"]


def test_what_is_wrong_with_the_sides_is_named(tmp_path):
    folder = write_noises(tmp_path / "noise", count=2)
    with pytest.raises(AudioError, match=r"2 noises \(noise0, noise1\), expected 3"):
        find_noisex(folder, tmp_path / "wav")
    with pytest.raises(AudioError, match="noise: no noise for valid; expected names"):
        find_noisex(folder, tmp_path / "wav", {"test": ["noise1"]})
    with pytest.raises(AudioError, match=r"no such noise in .*noise: \['rain'\]"):
        find_noisex(folder, tmp_path / "wav", {"test": ["rain"]})
    with pytest.raises(AudioError, match="nowhere: no such folder"):
        find_noisex(tmp_path / "nowhere", tmp_path / "wav")


def test_channels_of_one_recording_are_on_one_side(tmp_path):
    for place in ("DKITCHEN", "NPARK", "STRAFFIC", "TBUS"):
        for channel in ("ch01", "ch02"):
            write(tmp_path / "noise" / place / f"{channel}.wav", np.ones(4000), 16000)
    folders = tmp_path / "wav", tmp_path / "noise"
    found = find_noisex(*folders[::-1])
    assert [len(paths) for paths in found.values()] == [4, 2, 2]
    sides = {p.parent.name: side for side, paths in found.items() for p in paths}
    assert all(
        sides[path.parent.name] == side for side, x in found.items() for path in x
    )
    described = {path: inspect(path, 16000) for x in found.values() for path in x}
    made = side_noises(found, described, disjoint=True, folders=folders)
    entries = [entry for side in made.values() for entry in side.values()]
    assert len({entry["noise"] for entry in entries}) == 8
    assert entries[0]["name"] == "DKITCHEN_ch01"
    assert entries[0]["noise"] == "dkitchen/ch01"
    named = find_noisex(*folders[::-1], {"valid": ["npark"], "test": ["TBUS"]})
    assert {path.parent.name for path in named["test"]} == {"TBUS"}
    with pytest.raises(AudioError, match="for valid; expected names for it in noise_s"):
        find_noisex(*folders[::-1], {"test": ["TBUS"]})


def test_forms_and_case_make_no_other_noise(tmp_path):
    folder = write_noises(tmp_path / "noise", count=4)
    scipy.io.savemat(folder / "Noise1.mat", {"Noise1": np.ones(3000)})
    for form, name in (("wav", "babble.wav"), ("mat", "babble.mat")):
        (folder / form).mkdir()
        path = folder / form / name
        if form == "mat":
            scipy.io.savemat(path, {"babble": np.ones(3000)})
        else:
            write(path, np.ones(3000), 16000)
    found = noise_files(folder, tmp_path / "made")
    assert [path.name for path in found.values()] == [
        *(f"noise{number}.wav" for number in range(4)),
        "babble.wav",
    ]
    sides = find_noisex(folder, tmp_path / "made")
    assert [len(paths) for paths in sides.values()] == [3, 1, 1]


def test_names_win_over_folders(tmp_path):
    for side in ("train", "valid", "test"):
        write(tmp_path / "noise" / side / f"{side}ing.wav", np.ones(4000), 16000)
    split = {"valid": ["testing"], "test": ["training"]}
    found = find_noisex(tmp_path / "noise", tmp_path / "wav", split)
    assert names(found) == {
        "train": ["validing.wav"],
        "valid": ["testing.wav"],
        "test": ["training.wav"],
    }
