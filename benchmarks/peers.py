"""The libraries that ours is measured beside, and how those that lack are installed."""

import importlib
import importlib.metadata
from types import ModuleType
from typing import NamedTuple

# What the package itself needs
OURS = '-e ".[export,rooms]"'


class Peer(NamedTuple):
    """The module that a benchmark imports, its distribution, what installs that."""

    module: str
    distribution: str
    arguments: str = "--no-deps -r benchmarks/peers.txt"


PEERS = {
    "mir_eval": Peer("mir_eval.separation", "mir_eval"),
    "NumPy": Peer("numpy", "numpy", OURS),
    "pyclarity": Peer("clarity.evaluator.mbstoi", "pyclarity"),
    "pystoi": Peer("pystoi", "pystoi", OURS),
    "PyTorch": Peer("torch", "torch", OURS),
    "SpeechBrain": Peer("speechbrain", "speechbrain", OURS),
    "TorchJD": Peer("torchjd", "torchjd"),
    "torchmetrics": Peer("torchmetrics.functional.audio", "torchmetrics"),
    # not beside ours, but under it: streams without PyTorch
    "onnxruntime": Peer("onnxruntime", "onnxruntime", OURS),
    "onnx": Peer("onnx", "onnx", OURS),
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
    return f"pip install {PEERS[name].arguments}"
