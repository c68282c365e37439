"""What of a LibriMix tree cannot be used is named, and nothing is written."""

import pytest
import soundfile

from tests.data.librimix_tree import mixture_id, write, write_tables, write_tree
from tests.data.test_librimix import load, refused


def test_one_error_lists_every_unusable_file(root, save):
    folder = write_tree(root, count=6)
    train, names = folder / "train-360", [mixture_id(seed, 2) for seed in range(1, 7)]
    speech = soundfile.read(train / "s1" / f"{names[1]}.wav")[0]
    (train / "s1" / f"{names[0]}.wav").unlink()
    write(train / "s2" / f"{names[1]}.wav", speech[:-1], 8000)
    write(train / "s1" / f"{names[2]}.wav", 0 * speech, 8000)
    write(train / "mix_both" / f"{names[3]}.wav", speech, 16000)
    (train / "mix_clean" / f"{names[4]}.wav").write_text("no audio")
    (train / "mix_both" / f"{names[5]}.wav").unlink()
    reasons = {
        f"s1/{names[0]}": "missing",
        f"s2/{names[1]}": "4099 samples, its mixture has 4100",
        f"s1/{names[2]}": "silent",
        f"mix_both/{names[3]}": "rate 16000 Hz, expected 8000 Hz",
        f"mix_clean/{names[4]}": "not a readable audio file",
        f"mix_both/{names[5]}": "missing",
    }
    first, *lines = refused(root, save).splitlines()
    assert first == f"{len(reasons)} unusable files:"
    for name, reason in reasons.items():
        assert any(f"{train}/{name}.wav: {reason}" in line for line in lines)


def test_a_source_at_a_lower_rate_is_refused(root, save):
    folder = write_tree(root)
    path = folder / "dev" / "s2" / f"{mixture_id(11, 2)}.wav"
    write(path, soundfile.read(path)[0], 4000)
    assert f"{path}: rate 4000 Hz" in refused(root, save)


def test_a_talker_twice_in_a_mixture_is_refused(root, save):
    folder = write_tree(root, tables=False)
    for kind in ("mix_both", "mix_clean", "s1", "s2"):
        path = folder / "test" / kind / f"{mixture_id(21, 2)}.wav"
        path.rename(path.with_name("9-1-0001_9-2-0004.wav"))
    assert "talker 9 twice, expected different talkers" in refused(root, save)


@pytest.mark.parametrize("part", ["train-360", "dev", "test"])
def test_a_missing_split_is_named(root, save, part):
    folder = write_tree(root)
    (folder / part).rename(root / "away")
    assert refused(root, save).startswith(f"{folder / part}: no such split")


@pytest.mark.parametrize("kind", ["mix_both", "s1", "s2"])
def test_a_missing_source_is_named(root, save, kind):
    folder = write_tree(root)
    (folder / "dev" / kind).rename(root / "away")
    assert refused(root, save).startswith(f"{folder / 'dev' / kind}: missing")


def test_a_split_without_mixtures_is_named(root, save):
    folder = write_tree(root, tables=False)
    for path in (folder / "dev").rglob("*.wav"):
        path.unlink()
    assert "mix_both: no mixture" in refused(root, save)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_another_tree_is_named(root, save, rate):
    write_tree(root, 24000 - rate)
    message = refused(root, save, rate)
    wanted = f"Libri2Mix/wav{rate // 1000}k/min"
    assert message.startswith(f"{root / wanted}: no such folder, expected LibriMix's")
    assert refused(root / "nowhere", save).startswith(f"{root / 'nowhere'}")


def test_a_third_source_is_refused(root, save):
    folder = write_tree(root)
    (folder / "dev" / "s3").mkdir()
    assert refused(root, save).startswith(f"{folder / 'dev' / 's3'}: one talker more")


def test_mixtures_of_the_table_that_were_not_downloaded_are_listed(root, save):
    folder = write_tree(root)
    names = [*(mixture_id(seed, 2) for seed in (21, 22, 23)), "8-1-1_9-1-1"]
    write_tables(folder / "metadata", "test", names, 2)
    first, *lines = refused(root, save).splitlines()
    assert first == "4 unusable files:"
    assert all("8-1-1_9-1-1.wav: missing" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no row"),
        ("mixture_ID,length\na_b,4\n", "line 2: expected mixture_path"),
        (b"\xff\xfe\x00", "not a readable table"),
    ],
)
def test_a_broken_table_is_named(root, save, content, reason):
    path = write_tree(root) / "metadata" / "mixture_dev_mix_both.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(root, save)
    assert message.startswith(f"{path}: ")
    assert reason in message


def test_an_snr_that_is_none_is_named(root, save):
    path = write_tree(root) / "metadata" / "metrics_dev_mix_both.csv"
    path.write_text(path.read_text().replace("-6.25", "loud"))
    assert "noise_SNR: expected a number, got 'loud'" in refused(root, save)


@pytest.mark.parametrize(
    "options", [{"rate": 44100}, {"mode": "median"}, {"talkers": 1}]
)
def test_what_librimix_does_not_have_is_refused(root, save, options):
    with pytest.raises(ValueError, match="expected"):
        load(root, save, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"counts": {"eval": None}},
        {"train_set": "train-500"},
        # these evaluate
        {"train_set": "dev"},
        {"train_set": "test"},
    ],
)
def test_unknown_splits_are_refused(root, save, options):
    write_tree(root)
    with pytest.raises(ValueError, match="expected one of"):
        load(root, save, **options)
