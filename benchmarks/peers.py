"""The libraries that ours is measured beside, and how those that lack are installed."""

import importlib
import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

REQUIREMENTS = Path(__file__).with_name("peers.txt")


class Peer(NamedTuple):
    """The module that a benchmark imports, and the distribution that has it."""

    module: str
    distribution: str


PEERS = {
    "mir_eval": Peer("mir_eval.separation", "mir_eval"),
    "NumPy": Peer("numpy", "numpy"),
    "pyclarity": Peer("clarity.evaluator.mbstoi", "pyclarity"),
    "pystoi": Peer("pystoi", "pystoi"),
    "PyTorch": Peer("torch", "torch"),
    "SpeechBrain": Peer("speechbrain", "speechbrain"),
    "TorchJD": Peer("torchjd", "torchjd"),
    "torchmetrics": Peer("torchmetrics.functional.audio", "torchmetrics"),
    # not beside ours, but under it: streams without PyTorch
    "onnxruntime": Peer("onnxruntime", "onnxruntime"),
    "onnx": Peer("onnx", "onnx"),
}


def find(name: str) -> ModuleType | None:
    """Import a peer; None if it is missing."""
    try:
        return importlib.import_module(PEERS[name].module)
    except ImportError:
        return None


def version(name: str) -> str | None:
    """Return a peer's version; None if it is missing."""
    if find(name) is None:
        return None
    return importlib.metadata.version(PEERS[name].distribution)


def installation(name: str) -> str:
    """Return the command that installs a peer, in the version that is known to work."""
    distribution = PEERS[name].distribution
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line.split("==")[0] == distribution]
    return f"pip install --no-deps {(wanted or [distribution])[0]}"
