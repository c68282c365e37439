"""The table of training's throughput: YAMLs, modes, and what cannot be measured."""

import functools
import json
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from tests.benchmarks.conftest import ROOT

SMALL = {"bottleneck": 4, "hidden": 4, "skip": 4, "blocks": 1, "repeats": 1}
TINY = {"filters": 64, "enhancement": SMALL, "separation": SMALL}
MODES = ["fp32", "bf16", "bf16+compile"]
# Paper-size networks, and how they are fused, for how many talkers, by which losses
PUBLISHED = {
    "binaural": "back clarity front fusion independent interaural mbstoi release",
    "daps_noisex": "poster shared_latent sse_published",
    "librimix_noisy": "convtasnet convtasnet_3 dprnn dprnn_3 sepformer sepformer_3",
    "timit": "causal two_branch",
}


class Compiling(TorchDynamoException):
    """An error while compiling, as it is told by what runs the compiler."""

    def __init__(self, inner):
        super().__init__("backend raised:")
        self.inner_exception = inner


@pytest.fixture
def bench(load, monkeypatch):
    """Return the module, with a tiny system, measured in this process."""
    module = load("training_step")
    yaml = "librimix_noisy/hparams/small.yaml"
    monkeypatch.setitem(module.YAMLS, "tiny", (yaml, TINY))
    monkeypatch.setattr(module, "in_new_process", lambda f, *given: f(*given))
    # quicker than making code, and no compiler is needed
    compiling = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiling)
    # which compiling Brains change
    with torch._functorch.config.patch(donated_buffer=True):
        yield module


@pytest.fixture
def table(bench, monkeypatch, capsys):
    """Return the rows that the options give, without their head."""

    def rows(*options):
        given = ["--tables", "throughput", "--batches", "1", "--seconds", "0.1"]
        words = ["x.py", *given, "--rounds", "1", "--systems", "tiny", *options]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        bench.main()
        lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("|")]
        return [[x.strip() for x in line.strip("|").split(" | ")] for line in lines[2:]]

    return rows


def asked(bench, monkeypatch, *options):
    """Return the cells that a command line asks for."""
    monkeypatch.setattr(sys, "argv", ["x.py", *options])
    return list(bench.cells(bench.parse_all()))


def test_every_yaml_of_a_published_size_is_measured(bench, monkeypatch):
    names = [f"{x}/{y}" for x, listed in PUBLISHED.items() for y in listed.split()]
    assert [cell[0] for cell in asked(bench, monkeypatch)] == names
    files = {file.stem for file in ROOT.glob("recipes/*/hparams/*.yaml")}
    others = files - {name.split("/")[1] for name in names}
    # no run; of our own sizes, and those that stand on them
    assert others == {
        "common",
        *("small", "compact", "shipped", "irm"),
        *("amplitude", "cirm", "sse"),
    }


def test_gpu_takes_all_modes_and_the_batches_of_the_yamls(bench, monkeypatch):
    monkeypatch.setattr(bench, "on_gpu", lambda device: device == "cuda")
    one = "timit/causal"
    given = ["--systems", one, "--device", "cuda"]
    assert asked(bench, monkeypatch, *given) == [(one, x, 8, 3.0) for x in MODES]
    chosen = asked(bench, monkeypatch, *given, "--modes", "bf16", "--batches", "1", "2")
    assert chosen == [(one, "bf16", 1, 3.0), (one, "bf16", 2, 3.0)]
    assert asked(bench, monkeypatch, "--systems", one) == [(one, "fp32", 1, 2.0)]


@pytest.mark.slow
def test_modes_are_run_and_named(bench, table, monkeypatch):
    made, make = [], bench.make_brain

    def spy(*given):
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(bench, "make_brain", spy)
    rows = table("--modes", *MODES)
    assert [row[:4] for row in rows] == [["tiny", x, "1", "0.1"] for x in MODES]
    assert all(float(row[4]) > 0 for row in rows)
    assert [brain.precision for brain in made] == ["fp32", "bf16", "bf16"]
    compiled = [hasattr(brain.modules.separator, "_orig_mod") for brain in made]
    assert compiled == [False, False, True]
    # three before the one that counts
    assert {brain.optimizer_step for brain in made} == {4}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("an illegal memory access"), "RuntimeError: an illegal memory"),
        (ValueError("a | b\nand more"), "ValueError: a \\| b"),
        (Compiling(KeyError(1)), "does not compile: KeyError: 1"),
        (Compiling(torch.OutOfMemoryError("no more")), "out of memory"),
        (ValueError(200 * "x"), f"ValueError: {85 * 'x'}..."),
    ],
)
def test_failure_of_one_is_reported_and_the_others_go_on(
    bench, table, monkeypatch, error, said
):
    make = bench.make_brain

    def failing(name, changes, folder, options):
        if "--precision=bf16" not in options:
            raise error
        return make(name, changes, folder, options)

    monkeypatch.setattr(bench, "make_brain", failing)
    failed, other = table("--modes", "fp32", "bf16")
    assert failed[4].startswith(said)
    assert failed[5:] == ["", ""]
    assert float(other[4]) > 0


def test_what_the_system_ends_is_reported_in_the_table_of_all(
    bench, table, load, monkeypatch, tmp_path
):
    def ended(function, arguments, name, batch, seconds, options):
        if options:
            raise BrokenProcessPool
        return 0.2, 50.0

    path = tmp_path / "rows"
    monkeypatch.setenv("BENCHMARK_ROWS", str(path))
    monkeypatch.setattr(bench, "in_new_process", ended)
    well, failed = table("--modes", "fp32", "bf16")
    assert well[4:] == ["0.500", "50", "500"]
    said = "the system ended the process: out of memory?"
    assert failed[4:] == [said, "", ""]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    cells = [load("result_table").show({"benchmark": "x", **row}, {}) for row in rows]
    case = "tiny, {}, 1 x 0.1 s"
    assert [row[2:4] for row in cells] == [
        [case.format("fp32"), "0.500 audio s / s"],
        [case.format("fp32"), "500 MiB / s of audio"],
        [case.format("bf16"), said],
    ]


def test_network_that_is_not_compiled_is_no_compiled_one(table, monkeypatch):
    # upstream warns, and trains it as it is
    def refuse(*given, **options):
        raise RuntimeError("not with this Python")

    monkeypatch.setattr(torch, "compile", refuse)
    (row,) = table("--modes", "bf16+compile")
    assert row[4] == "RuntimeError: torch.compile refused separator"
