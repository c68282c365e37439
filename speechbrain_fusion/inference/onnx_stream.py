"""Streams by ONNX Runtime alone: what `export_step` wrote, with NumPy and no PyTorch.

This file needs no other of the package: copy it to where the model runs.
"""

from pathlib import Path
from typing import Any

import numpy as np

GOES_ON = 2**62
"""The number of samples of a signal that does not end within a chunk."""

# What states are, by ONNX Runtime's names.
KINDS = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8"}


class OnnxStream:
    """Pass signals through an exported causal system while they are being heard.

    Steps and what `flush` returns are, one after another and without their first
    `latency` samples, what the system makes of the whole signal, wherever it is cut.

    Arguments
    ---------
    path : Path or str
        A file that `export_step` wrote.
    batch : int
        Signals at a time, which begin and end together.
    threads : int
        That ONNX Runtime may use; for short steps one is fastest.

    Attributes
    ----------
    latency : int
        Samples by which the output is late.
    hop : int
        Samples between two frames. Steps of a multiple of it take the least time.
    inputs, outputs : int
        Channels that go in and come out.
    rate : int or None
        Sampling rate in Hz, if the file tells.

    Raises
    ------
    ImportError
        Without onnxruntime, naming the extra to install.
    ValueError
        If the file is no such model, or the batch is empty.

    Example
    -------
    >>> from speechbrain_fusion.inference.export import export_step
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> system = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> stream = OnnxStream(export_step(system, getfixture("tmp_path") / "step.onnx"))
    >>> signal = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    >>> parts = [stream.step(part) for part in np.split(signal, [37, 41], axis=-1)]
    >>> np.concatenate([*parts, stream.flush()], axis=-1)[:, stream.latency :].shape
    (2, 100)
    """

    def __init__(self, path: Path | str, batch: int = 1, threads: int = 1) -> None:
        if batch < 1:
            raise ValueError(f"batch: expected 1 or more, got {batch}")
        self._session = _open_file(path, threads)
        facts = self._session.get_modelmeta().custom_metadata_map
        if facts.get("kind") != "step":
            raise ValueError(f"{path}: expected a model that export_step wrote")
        self.batch = batch
        self.inputs, self.outputs = int(facts["inputs"]), int(facts["outputs"])
        self.latency, self.hop = int(facts["latency"]), int(facts["hop"])
        rate = facts.get("sample_rate")
        self.rate = None if rate is None else int(rate)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._states = {
            each.name: _zeros(each, self.batch)
            for each in self._session.get_inputs()
            if each.name.startswith("state_")
        }
        # what does not fill a hop waits, and so does as much of the output
        self._waiting = np.zeros((self.batch, self.inputs, 0), np.float32)
        self._ready = np.zeros((self.batch, self.outputs, self.hop), np.float32)
        self._samples, self._ended, self._axes = 0, False, 3

    def step(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples, and return as many.

        Arguments
        ---------
        x : numpy.ndarray
            Any number of samples, none too: shape [batch, inputs, time]; of a single
            stream also [inputs, time] and, where there is one input, [time].

        Returns
        -------
        numpy.ndarray
            float32, shape [batch, outputs, time]; [outputs, time] or [time] where `x`
            is (with several outputs [outputs, time] for both).

        Raises
        ------
        ValueError
            If the shape is another, samples are not finite or no floating-point
            numbers, or the signals have ended. Nothing has happened to the stream then.
        """
        part = self._check(np.asarray(x))
        self._axes = np.ndim(x)
        wide = np.concatenate([self._waiting, part], -1)
        whole = wide.shape[-1] // self.hop * self.hop
        self._waiting = wide[..., whole:]
        if whole:
            self._advance(wide[..., :whole], GOES_ON)
        self._samples += part.shape[-1]
        return self._take(part.shape[-1])

    def flush(self) -> np.ndarray:
        """End the signals, and return what is left.

        Returns
        -------
        numpy.ndarray
            The last `latency` samples, [batch, outputs, latency], or with as many axes
            as the last step's.

        Raises
        ------
        ValueError
            If they have ended already.
        """
        self._refuse_ended()
        # as much silence as it takes to hear the rest, in whole hops
        left = self._waiting.shape[-1] + self.latency - self.hop
        rest = np.zeros((self.batch, self.inputs, -(-left // self.hop) * self.hop))
        rest[..., : self._waiting.shape[-1]] = self._waiting
        if not self._samples:
            # what was never begun is silent to its end
            self._ready = np.zeros((self.batch, self.outputs, self.latency), np.float32)
        elif rest.shape[-1]:
            self._advance(rest, self._samples)
        self._ended = True
        return self._take(self.latency)

    def _advance(self, chunk: np.ndarray, samples: int) -> None:
        """Process whole hops."""
        feeds = {
            "chunk": np.ascontiguousarray(chunk, np.float32),
            "samples": np.full(self.batch, samples, np.int64),
            **self._states,
        }
        y, *states = self._session.run(None, feeds)
        self._states = dict(zip(self._states, states, strict=True))
        self._ready = np.concatenate([self._ready, y], -1)

    def _take(self, time: int) -> np.ndarray:
        """Return the first of what is ready, with as many axes as the last input."""
        y, self._ready = self._ready[..., :time], self._ready[..., time:]
        if self._axes == 1 and self.outputs == 1:
            return y[0, 0]
        return y if self._axes == 3 else y[0]

    def _check(self, x: np.ndarray) -> np.ndarray:
        self._refuse_ended()
        full = x[(None,) * (3 - x.ndim)] if self.batch == 1 and x.ndim < 3 else x
        wanted = self.batch, self.inputs
        if full.ndim != 3 or full.shape[:2] != wanted:
            raise ValueError(
                f"stream: expected [batch {wanted[0]}, inputs {wanted[1]}, time], got "
                f"{x.shape}"
            )
        if x.dtype.kind != "f":
            raise ValueError(f"stream: expected floating-point samples, got {x.dtype}")
        with np.errstate(over="ignore"):
            full = full.astype(np.float32)
        if not np.isfinite(full).all():
            raise ValueError("stream: expected finite samples, got NaN or infinity")
        return full

    def _refuse_ended(self) -> None:
        if self._ended:
            raise ValueError("stream: the signals have ended, reset it first")


def _zeros(state: Any, batch: int) -> np.ndarray:
    """Return the state with which signals begin; all but its batch is known."""
    return np.zeros((batch, *state.shape[1:]), KINDS[state.type])


def _open_file(path: Path | str, threads: int) -> Any:
    if not Path(path).is_file():
        raise ValueError(f"{path}: expected a file, there is none")
    try:
        return open_session(Path(path).read_bytes(), threads)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: expected an ONNX model ({error})") from error


def open_session(data: bytes, threads: int = 1) -> Any:
    """Make a graph ready to run.

    Arguments
    ---------
    data : bytes
        An ONNX file's.
    threads : int
        That ONNX Runtime may use.

    Returns
    -------
    onnxruntime.InferenceSession
        On the CPU.

    Raises
    ------
    ImportError
        Without onnxruntime, naming the extra to install.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'ONNX models need onnxruntime: pip install "speechbrain-fusion[export]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(data, options, providers=providers)
