"""Manifests follow their sources, and are read back or refused."""

import json
import os

import pytest

from speechbrain_fusion.data.audio import AudioError
from speechbrain_fusion.data.manifest import (
    fingerprint,
    keep_manifests,
    read_manifest,
    write_manifest,
)


def test_the_fingerprint_follows_names_sizes_times_and_options(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"1234")
    os.utime(path, ns=(0, 1000))
    prints = [fingerprint([path], {"rate": 8000})]
    assert fingerprint([path], {"rate": 8000}) == prints[0]
    prints.append(fingerprint([path], {"rate": 16000}))
    os.utime(path, ns=(0, 2000))
    prints.append(fingerprint([path], {"rate": 8000}))
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1000))
    prints.append(fingerprint([path], {"rate": 8000}))
    other = path.rename(tmp_path / "b.wav")
    prints.append(fingerprint([other], {"rate": 8000}))
    prints.append(fingerprint([], {"rate": 8000}))
    assert len(set(prints)) == len(prints)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    manifest = {"träin/1.wav": {"file": "/ä/1.wav", "rate": 8000, "seconds": 0.5}}
    write_manifest(tmp_path / "sub" / "m.json", manifest)
    assert read_manifest(tmp_path / "sub" / "m.json") == manifest
    assert json.loads((tmp_path / "sub" / "m.json").read_text()) == manifest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "not a readable manifest"),
        (b"", "not a readable manifest"),
        (b'{"a": {"file"', "not a readable manifest"),
        (b"\xff\xfe\x00", "not a readable manifest"),
        (b"{}", "an empty manifest"),
        (b"[]", "no manifest"),
        (b'["a.wav"]', "no manifest"),
        (b"3", "no manifest"),
        (b"null", "no manifest"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path, content, reason):
    path = tmp_path / "speech.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"speech\.json: {reason}"):
        read_manifest(path)


def test_other_recordings_than_before_are_warned_of(tmp_path, caplog):
    one = {"a": {"file": "a.wav", "gain": (0.0, 1.0)}}
    for rate in (8000, 16000):
        # another option, the same entries
        keep_manifests(tmp_path / "s", ["x"], [], {"rate": rate}, lambda: {"x": one})
    assert not caplog.records
    two = {**one, "b": {"file": "b.wav"}}
    keep_manifests(tmp_path / "s", ["x"], [], {}, lambda: {"x": two})
    (record,) = caplog.records
    assert "x.json: made anew with 2 entries in place of 1" in record.getMessage()
