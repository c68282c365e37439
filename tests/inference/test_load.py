"""Model folders loaded: from anywhere, leaving nothing behind, and never believed."""

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
import torch
from speechbrain.inference.interfaces import pretrained_from_hparams
from speechbrain.utils.fetching import FetchFrom, FetchSource

from speechbrain_fusion.inference import (
    BinauralEnhancer,
    SpeechEnhancer,
    SpeechSeparator,
    load,
    opening,
)
from speechbrain_fusion.inference.files import SHIPPED
from speechbrain_fusion.inference.safe_yaml import check_yaml
from tests.inference.model_folders import RATE, change_yaml, make_folder, make_run


def everything(folder: Path) -> dict[str, tuple[int, int, bool]]:
    """List a folder's files with size, time and whether they are links."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_size,
            path.lstat().st_mtime_ns,
            path.is_symlink(),
        )
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    "way",
    [
        load,
        BinauralEnhancer.from_hparams,
        lambda source: pretrained_from_hparams(BinauralEnhancer, source),
    ],
    ids=["load", "from_hparams", "upstream's function"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_nothing_is_left_behind(way, kind, folder):
    before = everything(folder.parent)
    model = way(kind(folder))
    assert isinstance(model, BinauralEnhancer)
    assert (model.rate, model.config["latency"]) == (RATE, 8)
    assert everything(folder.parent) == before


def test_a_savedir_is_used_if_one_is_given(folder, tmp_path):
    model = BinauralEnhancer.from_hparams(folder, savedir=tmp_path / "saved")
    names = ["config.json", "hyperparams.yaml", "model.ckpt"]
    assert sorted(x.name for x in (tmp_path / "saved").iterdir()) == names
    assert model.config["name"] == "small"
    # what lies there is what is loaded, so it is what is checked
    (tmp_path / "saved" / "hyperparams.yaml").unlink()
    (tmp_path / "saved" / "hyperparams.yaml").write_text("x: !apply:os.getcwd []")
    with pytest.raises(ValueError, match=r"saved/hyperparams\.yaml, line 1: !apply"):
        BinauralEnhancer.from_hparams(folder, savedir=tmp_path / "saved")


def test_a_folder_that_is_moved_or_read_only_works(folder, tmp_path):
    expected = load(folder).enhance(torch.ones(2, 100), RATE)
    moved = tmp_path / "näch München"
    folder.rename(moved)
    for path in [*moved.iterdir(), moved]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    assert torch.equal(load(moved).enhance(torch.ones(2, 100), RATE), expected)
    assert torch.equal(
        load(os.path.relpath(moved)).enhance(torch.ones(2, 100), RATE), expected
    )
    moved.chmod(0o755)


def test_links_are_followed_to_files_alone(folder, tmp_path):
    """As in the hub's cache; a device or a pipe would never end."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert load(linked).rate == RATE
    (linked / "hyperparams.yaml").unlink()
    (linked / "hyperparams.yaml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"linked: no model, there is no hyperparams"):
        load(linked)
    (linked / "hyperparams.yaml").unlink()
    os.mkfifo(linked / "hyperparams.yaml")
    with pytest.raises(ValueError, match=r"linked: no model, there is no hyperparams"):
        load(linked)


def test_random_numbers_come_as_they_would_have(folder):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load(folder)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("binaural", BinauralEnhancer, SpeechEnhancer),
        ("mask", SpeechEnhancer, SpeechSeparator),
        ("talkers", SpeechSeparator, BinauralEnhancer),
    ],
)
def test_a_class_is_for_its_task(kind, right, wrong, tmp_path):
    folder = make_folder(tmp_path, kind)
    assert type(load(folder)) is right
    with pytest.raises(ValueError, match=f"config.json: not for {wrong.__name__}, exp"):
        wrong.from_hparams(folder)


def test_values_of_the_yaml_can_be_changed(folder):
    assert load(folder).system.filterbank.window == 8
    changed = load(folder, overrides={"model": {"mask_activation": "relu"}})
    assert changed.system.mask_activation is torch.relu
    with pytest.raises(
        ValueError, match=r"model\.ckpt: not the parameters .*different"
    ):
        load(folder, overrides="model: {H: 9}")
    with pytest.raises(ValueError, match=r"hyperparams\.yaml: no model can be made"):
        load(folder, overrides={"modell": 1})


def test_changes_need_not_match_if_that_is_said(folder):
    options = {"overrides": {"later": 1}, "overrides_must_match": False}
    model = BinauralEnhancer.from_hparams(folder, **options)
    assert model.hparams.later == 1


@pytest.mark.parametrize("way", [load, BinauralEnhancer.from_hparams])
def test_what_was_checked_is_what_is_loaded(way, folder, monkeypatch):
    """Whoever may write into the folder does so in the meantime."""
    expected = load(folder).system.state_dict()

    def check_and_change(*arguments):
        check_yaml(*arguments)
        change_yaml(folder, "sample_rate", "x: !apply:os.mkdir [RAN]\nsample_rate")
        (folder / "model.ckpt").write_bytes(b"")

    monkeypatch.setattr(opening, "check_yaml", check_and_change)
    state = way(folder).system.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert not any(Path().iterdir())


def test_trust_loads_what_is_refused_otherwise(folder):
    change_yaml(folder, "sample_rate: 8000", "x: !name:math.sin\nsample_rate: 8000")
    with pytest.raises(ValueError, match=r"line \d: !name:math\.sin is refused"):
        load(folder)
    assert load(folder, trust=True).rate == RATE
    assert BinauralEnhancer.from_hparams(folder, trust=True).rate == RATE


@pytest.mark.parametrize("source", ["nowhere", "/no/where", "a/b/c", Path("a/b"), ""])
def test_what_is_no_folder_is_named(source, folder):
    with pytest.raises(
        ValueError, match=r"no such folder, expected one with config|no m"
    ):
        load(source)


def test_a_run_is_told_from_its_model(folder):
    with pytest.raises(
        ValueError, match=r"there is no config\.json.*did you mean .*/mo"
    ):
        load(folder.parent)


@pytest.mark.parametrize("name", ["config.json", "hyperparams.yaml", "model.ckpt"])
def test_a_missing_file_is_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"model: no model, there is no {name}"):
        load(folder)
    (folder / name).mkdir()
    with pytest.raises(ValueError, match=f"model: no model, there is no {name}"):
        load(folder)


@pytest.mark.parametrize("device", ["cuda:99", "quantum", "meta0", 7.5])
def test_a_device_that_is_not_there_is_named(device, folder):
    with pytest.raises(ValueError, match=f"device: {device} is not there"):
        load(folder, device=device)


def test_a_model_comes_with_the_package(folder):
    model = load()
    assert isinstance(model, BinauralEnhancer)
    assert model.config["causal"]
    assert sum(x.stat().st_size for x in SHIPPED.iterdir()) < 1_000_000


@pytest.mark.parametrize(
    "value",
    ["10000000", "1000000000", "999999999999999999999", "-5", "0", "1.5", "[1]"],
)
@pytest.mark.parametrize("key", ["N: 16", "P: 5", "X: 2", "R: 1"])
def test_absurd_sizes_are_refused_before_they_take_memory(key, value, folder):
    change_yaml(folder, f"    {key}\n", f"    {key[0]}: {value}\n")
    with pytest.raises(
        ValueError, match=r"hyperparams\.yaml|model\.ckpt: not the para"
    ):
        load(folder)


@pytest.mark.parametrize(
    "module",
    [
        "CompressedSTFT {fft_size: 16777216, hop: 8388608}",
        "STFTFilterbank {channels: 16777216}",
        "LearnedFilterbank {channels: 16777216, window: 16777216}",
        "BatchNorm {channels: 16777216}",
    ],
)
def test_what_a_model_would_keep_is_counted(module, folder):
    """Windows and statistics too, of which a file says little."""
    line = f"x: !new:speechbrain_fusion.nnet.{module}\nsample_rate: 8000"
    change_yaml(folder, "sample_rate: 8000", line)
    with pytest.raises(ValueError, match="the model is larger than its parameters"):
        load(folder)


def test_arguments_that_do_not_exist_are_named(folder):
    change_yaml(folder, "    N: 16\n", "    N: 16\n    __class__: 3\n")
    with pytest.raises(
        ValueError, match=r"hyperparams\.yaml: no model can be made.*cl"
    ):
        load(folder)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a: \x00", b"x" * 10**6])
def test_a_yaml_that_is_no_text_is_named(data, folder):
    (folder / "hyperparams.yaml").write_bytes(data)
    with pytest.raises(ValueError, match=r"hyperparams\.yaml[:,] "):
        load(folder)


def test_any_network_can_be_used_without_a_folder(tmp_path):
    _, network = make_run(tmp_path, "mask")
    model = SpeechEnhancer({"model": network}, {"sample_rate": RATE})
    assert model.config["task"] == "enhance"
    with pytest.raises(ValueError, match="MaskEnhancer: not for SpeechSeparator"):
        SpeechSeparator({"model": network}, {"sample_rate": RATE})


# -- the hub -----------------------------------------------------------------------


@pytest.fixture
def hub(folder, monkeypatch):
    """A hub that has one repository, and a list of what was asked of it."""
    asked = []

    def download(repo_id, filename, **options):
        asked.append((repo_id, filename))
        if repo_id != "someone/model":
            raise FileNotFoundError(f"404: {repo_id}")
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


@pytest.mark.parametrize(
    "source", ["someone/model", FetchSource(FetchFrom.HUGGING_FACE, "someone/model")]
)
def test_a_repository_of_the_hub_is_fetched(source, hub, folder):
    before = everything(folder.parent)
    assert load(source).config["name"] == "small"
    assert BinauralEnhancer.from_hparams(source).config["name"] == "small"
    assert {name for _, name in hub} == {
        *("config.json", "hyperparams.yaml", "model.ckpt"),
    }
    assert everything(folder.parent) == before


def test_a_folder_comes_before_a_repository(hub, folder):
    shutil.copytree(folder, Path("someone") / "model")
    load("someone/model")
    assert not hub


def test_a_repository_that_cannot_be_had_is_named(hub):
    with pytest.raises(
        ValueError, match=r"no/one: no folder here, and config\.json can"
    ):
        load("no/one")


def test_a_hostile_repository_runs_nothing(hub, folder):
    change_yaml(folder, "sample_rate", "x: !apply:os.mkdir [RAN]\nsample_rate")
    with pytest.raises(
        ValueError, match=r"hyperparams\.yaml, line \d: !apply:os\.mkdir"
    ):
        load("someone/model")
    assert not Path("RAN").exists()


def test_models_are_made_one_after_the_other(folder, monkeypatch):
    """The generator and torch's hooks are all threads'."""
    inside, most, build = [], [], opening.build_like

    def watched(*arguments):
        inside.append(1)
        most.append(len(inside))
        made = build(*arguments)
        inside.pop()
        return made

    monkeypatch.setattr(opening, "build_like", watched)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: load(folder).rate, range(8)))
    assert found == [found[0]] * 8
    assert most == [1] * 8
    assert torch.equal(torch.rand(4), expected)
