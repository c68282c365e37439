"""YAML that would do more than describe a model runs nothing."""

import pytest
from hyperpyyaml import load_hyperpyyaml

from speechbrain_fusion.inference import SpeechEnhancer, load
from speechbrain_fusion.inference.safe_yaml import check_yaml, known_classes
from tests.inference.model_folders import YAMLS, make_folder

MODEL = "!new:speechbrain_fusion.models.MaskEnhancer"
PRETRAINER = "!new:speechbrain.utils.parameter_transfer.Pretrainer"
TAIL = (
    "modules: {model: !ref <model>}\n"
    f"pretrainer: {PRETRAINER} {{loadables: {{model: !ref <model>}}}}\n"
)
GOOD = f"sample_rate: 8000\nmodel: {MODEL}\n    mask: ratio\n{TAIL}"
TOUCH = "['touch RAN']"


def with_key(line: str) -> str:
    """Put a line before a good model."""
    return f"{line}\n{GOOD}"


def with_argument(value: str) -> str:
    return GOOD.replace("mask: ratio", f"mask: {value}")


# all that runs code in HyperPyYAML, or in what it is made of
CODE = {
    "apply": with_key(f"x: !apply:os.system {TOUCH}"),
    "apply inside": with_argument(f"!apply:os.system {TOUCH}"),
    "applyref": with_key(f"x: !applyref:os.system {TOUCH}"),
    "name": with_key("x: !name:os.system"),
    "module": with_key("x: !module:antigravity"),
    "new of another package": with_key(f"x: !new:subprocess.Popen {TOUCH}"),
    "python apply": with_key(f"x: !!python/object/apply:os.system {TOUCH}"),
    "python new": with_key(f"x: !!python/object/new:subprocess.Popen {TOUCH}"),
    "python name": with_key("x: !!python/name:os.system ''"),
    "python module": with_key("x: !!python/module:antigravity ''"),
    "python tuple": with_key("x: !!python/tuple [1, 2]"),
    "verbatim tag": with_key(
        f"x: !<tag:yaml.org,2002:python/object/apply:os.system> {TOUCH}"
    ),
    "tag directive": "%TAG !e! tag:yaml.org,2002:python/object/\n---\n"
    + with_key(f"x: !e!apply:os.system {TOUCH}"),
    "tuple": with_key(f"x: (!!python/object/apply:os.system {TOUCH})"),
    "quoted tuple": with_key(f'x: "(!!python/object/apply:os.system {TOUCH})"'),
    "explicit tuple": with_key(
        f'x: !tuple "(!!python/object/apply:os.system {TOUCH})"'
    ),
    "interpolated tuple": with_key(
        "a: '('\nb: !ref <a>!!python/object/apply:os.system [touch RAN])"
    ),
    "attribute of a reference": GOOD + "x: !ref <model.__class__>",
    "copy": GOOD + "x: !copy <model>",
    "include": with_key("x: !include:other.yaml"),
    "include at the root": f"!include:other.yaml\n{GOOD}",
    "a way to a module's imports": with_key(
        "x: !new:speechbrain_fusion.models.binaural.torch.nn.Linear [1, 1]"
    ),
    "a function of this package": with_key(
        "x: !new:speechbrain_fusion.models.iterative_wiener"
    ),
    "a protocol": with_key("x: !new:speechbrain_fusion.models.System"),
    "a module of this package that is not exported": with_key(
        "x: !new:speechbrain_fusion.models.unified.OpenMask"
    ),
    "another class of this package": with_key(
        "x: !new:speechbrain_fusion.brains.TrainLog {save_file: RAN}"
    ),
    "a directory in a name": with_key(
        "x: !new:speechbrain_fusion.models/../evil.Thing"
    ),
    "hooks": GOOD.replace("{loadables:", "{custom_hooks: {model: 1}, loadables:"),
    "conditions": GOOD.replace("{loadables:", "{conditions: {model: 1}, loadables:"),
    "paths": GOOD.replace("{loadables:", "{paths: {model: /etc/passwd}, loadables:"),
    "collect in": GOOD.replace("{loadables:", "{collect_in: RAN, loadables:"),
    "another transfer": GOOD.replace("transfer.Pretrainer", "transfer.fetch"),
}
# what takes long, or much, or is not what it seems
ODD = {
    "anchor": with_key("x: &a [1]"),
    "alias": with_key("x: &a [1]\ny: *a"),
    "recursion": with_key("x: &a [*a]"),
    "a model that contains itself": GOOD.replace("mask: ratio", "mask: !ref <model>"),
    "a reference below": with_key("x: !ref <model>"),
    "arithmetic": with_key("a: 9\nx: !ref <a> ** <a>"),
    "interpolation": with_key("a: 9\nx: !ref <a>/<a>"),
    "a part of a key": with_key("a: [1]\nx: !ref <a[0]>"),
    "laughs": with_key(
        "a: [x]\n" + "\n".join(f"{b}: &{b} [*{a}]" for a, b in ("ab", "bc", "cd"))
    ),
    "merge": with_key("x: {<<: {a: 1}}"),
    "nesting": with_key("x: " + "[" * 40 + "]" * 40),
    "deep nesting": with_key("x: " + "[" * 3000 + "]" * 3000),
    "open nesting": with_key("x: " + "{a: " * 3000),
    "too long": with_key("x: " + "a" * 40000),
    "binary": with_key("x: !!binary aGVsbG8="),
    "date": with_key("x: 2001-01-01"),
    "set": with_key("x: !!set {a, b}"),
    "infinite": with_key("x: .inf"),
    "hexadecimal": with_key("x: 0xFFFFFFFFFFFF"),
    "large": with_key("x: 1000000000"),
    "a word that is no number": with_key("x: !!int __import__"),
    "several lines": with_key("x: |\n    a\n    b"),
    "brackets in a text": with_key("x: 'a < b'"),
    "a key twice": with_key("x: 1\nx: 2"),
    "a key that is a list": with_key("? [a]\n: 1"),
    "a key that is a number": with_key("1: 1"),
    "another document": GOOD + "---\nx: 1\n",
    "directive": "%YAML 1.1\n---\n" + GOOD,
    "end of line in a comment": with_key("# a\x85x: !apply:os.system ['touch RAN']"),
    "line separator": with_key("# a\u2028x: 1"),
    "null character": with_key("x: a\x00b"),
    "bell": with_key("x: 'a\x07b'"),
    "carriage return": with_key("x: 1\ry: 2"),
    "letters of others": with_key("x: ünïcode"),
    "option of SpeechBrain": with_key("device: cuda"),
    "compilation": with_key("compile: true"),
    "where to save": with_key("savedir: /tmp"),
    "positional": with_argument("ratio").replace("\n    mask: ratio", " ratio"),
    "no modules": GOOD.replace("modules: {model: !ref <model>}\n", ""),
    "no model": f"sample_rate: 8000\nmodel: 3\n{TAIL}",
    "no rate": GOOD.replace("sample_rate: 8000\n", ""),
    "another module": GOOD.replace("modules: {model", "modules: {other"),
    "two modules": GOOD.replace("modules: {", "modules: {other: !ref <model>, "),
    "no loadables": GOOD.replace("{loadables: {model: !ref <model>}}", "{}"),
    "a list": "- 1",
    "a word": "word",
    "nothing": "",
    "a broken one": "a: [1, 2\nb: }",
    "an undefined alias": with_key("x: *a"),
}


@pytest.mark.parametrize("text", [*CODE.values(), *ODD.values()], ids=[*CODE, *ODD])
def test_what_is_more_than_a_description_is_refused(text):
    with pytest.raises(ValueError, match=r"^evil\.yaml[:,]") as caught:
        check_yaml(text, "evil.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder, whose YAML is replaced."""
    return make_folder(tmp_path_factory.mktemp("evil"), "mask")


@pytest.mark.parametrize("text", CODE.values(), ids=CODE)
def test_nothing_of_a_hostile_folder_runs(text, folder, tmp_path, monkeypatch):
    (folder / "hyperparams.yaml").write_text(text)
    (folder / "other.yaml").write_text(f"x: !apply:os.system {TOUCH}")
    monkeypatch.chdir(tmp_path)
    for way in (load, SpeechEnhancer.from_hparams):
        with pytest.raises(ValueError, match=r"hyperparams\.yaml[:,]"):
            way(folder)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *("apply", "applyref", "python apply", "verbatim tag", "tag directive"),
        *("tuple", "explicit tuple"),
    ],
)
def test_it_would_have_run(name, tmp_path, monkeypatch):
    """The tests above are worth something."""
    monkeypatch.chdir(tmp_path)
    load_hyperpyyaml(CODE[name])
    assert (tmp_path / "RAN").exists()


def test_a_refusal_names_file_line_tag_and_the_way_out():
    text = with_argument("!apply:os.system [ls]")
    message = (
        r"evil\.yaml, line 3: !apply:os\.system is refused, expected plain values and "
        "modules of this package; trust=True loads any YAML"
    )
    with pytest.raises(ValueError, match=message):
        check_yaml(text, "evil.yaml")


@pytest.mark.parametrize(
    "line",
    [
        "x: 1",
        "x: -1.5e-3",
        "x: [1, 2.0, true, null, word, 'two words']",
        "x: {a: {b: ~}}",
        "x: (1, 2)",
        "x: '8'",
        "a: [1]\nx: !ref <a>",
        "# said in a comment: !apply",
        "x: !new:speechbrain_fusion.nnet.FusionLayer",
    ],
)
def test_plain_values_are_allowed(line):
    check_yaml(with_key(line), "good.yaml")


@pytest.mark.parametrize("kind", YAMLS)
def test_what_is_written_is_allowed(kind, tmp_path):
    path = make_folder(tmp_path, kind) / "hyperparams.yaml"
    check_yaml(path.read_text(), "own.yaml")


def test_the_modules_of_this_package_are_known():
    assert all("." in name and "System" not in name for name in known_classes())
    assert "speechbrain_fusion.nnet.DPRNNMasker" in known_classes()
    assert "speechbrain_fusion.nnet.make_sharing" not in known_classes()
