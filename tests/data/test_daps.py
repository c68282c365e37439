"""DAPS's published tree: what is taken, and what is missing from it."""

import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.daps import VERSIONS, find_daps, noisy_versions, room_of
from speechbrain_fusion.data.disjoint import Utterance
from tests.data.daps_tree import SCRIPTS, SPEAKERS, touch_daps


def test_the_published_tree_is_read_whole(tmp_path):
    root = touch_daps(tmp_path / "data" / "daps")
    for folder in (root, root.parent):
        found = find_daps(folder)
        assert {said.speaker for said in found} == {*SPEAKERS}
        assert len(found) == 100
        assert {len(files) for files in found.values()} == {15}
    path = found[Utterance("m10", "script5")]["ipad_office1"]
    assert path == root / "ipad_office1" / "m10_script5_ipad_office1.wav"
    assert [said.speaker for said in found][::45] == ["f1", "f10", "m9"]


def test_what_macos_leaves_and_other_folders_are_passed_over(tmp_path):
    root = touch_daps(tmp_path, SPEAKERS[:2], SCRIPTS[:1], ["clean", "ipad_office1"])
    (root / "clean" / "._f1_script1_clean.wav").touch()
    (root / "clean" / ".DS_Store").touch()
    (root / "clean" / "notes.txt").touch()
    for other in ("sample", "supplementary_files", "noise"):
        (root / other).mkdir()
        (root / other / "f1_script1_clean.wav").touch()
    assert [[*files] for files in find_daps(root).values()] == [
        ["clean", "ipad_office1"]
    ] * 2


def test_wanted_versions_must_be_there(tmp_path):
    root = touch_daps(tmp_path, versions=["clean", "cleanraw", "ipad_office1"])
    files = next(iter(find_daps(root, ["ipad_office1"]).values()))
    assert [*files] == ["clean", "ipad_office1"]
    with pytest.raises(AudioError, match=r"no produced, it has clean, cleanraw, ipad"):
        find_daps(root, ["cleanraw", "produced"])
    with pytest.raises(ValueError, match=r"versions: \['ipad_kitchen1'\], expected"):
        find_daps(root, ["ipad_kitchen1"])


def test_all_that_an_incomplete_tree_lacks_is_listed(tmp_path):
    root = touch_daps(tmp_path, SPEAKERS[:3], SCRIPTS[:2], ["clean", "ipad_office1"])
    (root / "clean" / "f1_script1_clean.wav").unlink()
    (root / "ipad_office1" / "f2_script2_ipad_office1.wav").unlink()
    for version in ("clean", "ipad_office1"):
        (root / version / f"f3_script1_{version}.wav").unlink()
    (root / "ipad_office1" / "f2_script2.wav").touch()
    with pytest.raises(AudioError) as caught:
        find_daps(root)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{root}: DAPS is incomplete, 5 problems:"
    for reason in (
        f"{root}/clean/f1_script1_clean.wav: missing",
        f"{root}/clean/f3_script1_clean.wav: missing",
        f"{root}/ipad_office1/f3_script1_ipad_office1.wav: missing",
        f"{root}/ipad_office1/f2_script2_ipad_office1.wav: missing",
        f"{root}/ipad_office1/f2_script2.wav: expected a name <speaker>_<script>_ipad",
    ):
        assert any(line.strip().startswith(reason) for line in lines)


def test_of_many_missing_files_twenty_are_named_and_all_counted(tmp_path):
    root = touch_daps(tmp_path, versions=["clean", "produced"])
    for speaker in SPEAKERS[1:6]:
        for script in SCRIPTS:
            (root / "produced" / f"{speaker}_{script}_produced.wav").unlink()
    with pytest.raises(AudioError, match=r"25 problems[^!]*and 5 more") as caught:
        find_daps(root)
    assert len(str(caught.value).splitlines()) == 22


def test_what_is_no_daps_is_named(tmp_path):
    with pytest.raises(AudioError, match="nowhere: no such folder, expected DAPS"):
        find_daps(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="no folder clean, expected DAPS"):
        find_daps(tmp_path)
    (tmp_path / "clean").mkdir()
    with pytest.raises(
        AudioError, match=r"clean: no file <speaker>_<script>_clean\.wav"
    ):
        find_daps(tmp_path)


def test_rooms_are_those_of_the_devices():
    assert len({room_of(version) for version in VERSIONS}) == 8
    rooms = {version: room_of(version) for version in VERSIONS}
    assert [v for v, room in rooms.items() if room == "studio"] == [*VERSIONS[:3]]
    assert [v for v, room in rooms.items() if room == "office1"] == [
        "ipad_office1",
        "ipadflat_office1",
    ]


def test_clean_speech_is_noisy_material_if_asked_for_or_alone(tmp_path):
    found = find_daps(touch_daps(tmp_path / "full", SPEAKERS[:1], SCRIPTS[:1]))
    assert noisy_versions(found, None) == [*VERSIONS[1:]]
    assert noisy_versions(found, ["clean", "produced"]) == ["clean", "produced"]
    alone = touch_daps(tmp_path / "clean", SPEAKERS[:1], SCRIPTS[:1], ["clean"])
    assert noisy_versions(find_daps(alone), None) == ["clean"]


def test_what_a_tree_lacks_of_daps_is_a_warning(tmp_path, caplog):
    find_daps(touch_daps(tmp_path / "whole", scripts=SCRIPTS[:1]))
    assert not caplog.messages
    root = touch_daps(tmp_path / "part", SPEAKERS[1:], SCRIPTS[:1], VERSIONS[:13])
    find_daps(root)
    assert caplog.messages == [f"{root}: 19 of 20 speakers, 13 of 15 versions"]


def test_no_version_is_refused(tmp_path):
    with pytest.raises(ValueError, match="versions: expected some, or None for all"):
        find_daps(touch_daps(tmp_path, SPEAKERS[:1], SCRIPTS[:1]), [])
