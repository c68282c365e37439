"""Parameters as a file of tensors and nothing else, and whether they fit a module."""

import contextlib
import io
import pickletools
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from speechbrain_fusion.messages import in_a_line

Built = TypeVar("Built")

EXTRA_STATE = "_extra_state"
# many modules have no parameters of their own
MODULES_PER_TENSOR = 16
# values that are no parameters
MOST_WINDOWS = 2**18
SHOWN = 8
KINDS = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
# What torch.save names in the pickle of a state dict. torch.load allows more, some of
# which takes any memory that it is told to.
NAMES = {
    "collections OrderedDict",
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
    *("torch HalfStorage", "torch BFloat16Storage", "torch FloatStorage"),
    *("torch DoubleStorage", "torch BoolStorage", "torch ByteStorage"),
    *("torch CharStorage", "torch ShortStorage", "torch IntStorage"),
    "torch LongStorage",
}


class Fit(NamedTuple):
    """How parameters and a module go together.

    Attributes
    ----------
    matching : list of str
        Names that both have alike.
    missing : list of str
        What the module has and the parameters lack.
    unexpected : list of str
        What the module does not have.
    differing : dict of str to str
        Names that both have, but in different shapes, and which.
    """

    matching: list[str]
    missing: list[str]
    unexpected: list[str]
    differing: dict[str, str]

    def lines(self) -> list[str]:
        """Say what does not match, a line for each kind.

        Example
        -------
        >>> Fit(["a"], ["b", "c"], [], {"d": "[2], expected [3]"}).lines()
        ['missing: b, c', 'different: d [2], expected [3]']
        """
        differing = [f"{name} {how}" for name, how in self.differing.items()]
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "different": differing,
        }
        return [f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names]


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> Fit:
    """Find out which parameters fit a module.

    Arguments
    ---------
    module : torch.nn.Module
        It may be on the meta device.
    state : mapping of str to torch.Tensor
        Parameters by name.

    Returns
    -------
    Fit
        What matches and what does not.

    Example
    -------
    >>> compare(nn.Linear(2, 3), {"weight": torch.zeros(3, 3)}).lines()
    ['missing: bias', 'different: weight [3, 3], expected [3, 2]']
    """
    own = {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    common = [name for name in own if name in state]
    unlike = {name: _difference(name, state[name], own[name]) for name in common}
    return Fit(
        matching=[name for name in common if not unlike[name]],
        missing=[name for name in own if name not in state],
        unexpected=[name for name in state if name not in own],
        differing={name: found for name, found in unlike.items() if found},
    )


def _difference(name: str, given: Tensor, own: Tensor) -> str:
    """Say how a tensor differs from what it is for: in shape, or in what it says."""
    if given.shape != own.shape:
        return f"{[*given.shape]}, expected {[*own.shape]}"
    if name.endswith(EXTRA_STATE) and not given.equal(own):
        return f"is {given.tolist()}, expected {own.tolist()}"
    return ""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; nothing in it is run, and it is not believed either.

    Arguments
    ---------
    path : Path
        What `torch.save` made of a state dict.

    Returns
    -------
    dict of str to torch.Tensor
        By name, on the CPU.

    Raises
    ------
    ValueError
        If it is anything else (a pickle, a truncated file, objects, compressed or
        shared memory, values that are not finite), naming the file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "model.ckpt"
    >>> torch.save({"weight": torch.ones(2)}, path)
    >>> read_weights(path)
    {'weight': tensor([1., 1.])}
    """
    archive = _checked_archive(path)
    room = archive.getbuffer().nbytes
    try:
        with warnings.catch_warnings():
            # of what a hostile file may hold
            warnings.simplefilter("ignore")
            state = torch.load(archive, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _no_tensors(path, error) from error
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path}: expected tensors by name, got {type(state)}")
    # what it holds, whatever it says of itself
    state = dict(dict.items(state))
    # a pickle may give the same memory to many tensors
    for name, value in state.items():
        _check_tensor(path, name, value)
        room -= value.nbytes
        if room < 0:
            raise ValueError(f"{path}: expected tensors that do not share their memory")
        if not value.isfinite().all():
            raise ValueError(f"{path}: {name} has values that are not finite")
    return state


def _checked_archive(path: Path) -> io.BytesIO:
    """Read torch's archive, whose parts are as large as they look.

    What comes back is made of the parts that were checked: a file may look to torch as
    another archive than to zipfile, and may change meanwhile.
    """
    checked = io.BytesIO()
    try:
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            problem = _problem(archive, len(data))
            if not problem:
                with zipfile.ZipFile(checked, "w") as copy:
                    for part in archive.infolist():
                        copy.writestr(part.filename, archive.read(part))
    except Exception as error:
        raise _no_tensors(path, error) from error
    if problem:
        raise ValueError(f"{path}: {problem}")
    checked.seek(0)
    return checked


def _problem(archive: zipfile.ZipFile, size: int) -> str:
    """Say why an archive cannot be one of torch's, "" if it can."""
    parts = archive.infolist()
    stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
    if not stored or sum(part.file_size for part in parts) > size:
        return "expected tensors that are not compressed"
    if archive.testzip() is not None:
        return "damaged, expected what was written"
    for part in parts:
        # as torch finds them, whatever their case
        if part.filename.lower().endswith(".pkl"):
            for name in _names(archive.read(part)):
                if name not in NAMES:
                    return f"{name!a:.80} is refused, expected tensors alone"
    return ""


def _names(pickle: bytes) -> Iterator[str]:
    """List what a pickle names, without running it."""
    for operation, argument, _ in pickletools.genops(pickle):
        # GLOBAL is all that torch.save writes of these
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            yield operation.name
        elif operation.name == "GLOBAL":
            yield str(argument)


def _no_tensors(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: not a file of tensors, expected what torch.save makes of a state "
        f"dict ({in_a_line(error)})"
    )


def _check_tensor(path: Path, name: Any, value: Any) -> None:
    """Expect a dense tensor of numbers."""
    if not isinstance(name, str) or not name.isprintable() or len(name) > 300:
        raise ValueError(f"{path}: expected tensors by name, got {str(name)[:80]!r}")
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        raise ValueError(f"{path}: {name} is no tensor, got {type(value)}")
    plain = value.dtype in KINDS and value.device.type == "cpu"
    if not plain or not value.is_contiguous():
        raise ValueError(f"{path}: {name} is no plain tensor of numbers")


def check_fit(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse parameters that do not fit a module exactly.

    Arguments
    ---------
    module : torch.nn.Module
        It may be on the meta device.
    state : mapping of str to torch.Tensor
        Parameters by name.
    path : Path
        Where they are from, for the error.

    Raises
    ------
    ValueError
        Naming the file and what does not fit.

    Example
    -------
    >>> check_fit(nn.Linear(2, 3), {"weight": torch.zeros(3, 2)}, Path("model.ckpt"))
    Traceback (most recent call last):
    ...
    ValueError: model.ckpt: not the parameters of the model ... (missing: bias)
    """
    if lines := compare(module, state).lines():
        raise ValueError(
            f"{path}: not the parameters of the model that its YAML describes "
            f"({'; '.join(lines)})"
        )


def build_like(build: Callable[[], Built], state: Mapping[str, Tensor]) -> Built:
    """Build modules without memory, and stop where they outgrow their parameters.

    A YAML may ask for any size. What is built here takes none, and it cannot take long:
    more modules or values than the parameters are for end it.

    Arguments
    ---------
    build : callable
        Makes the modules.
    state : mapping of str to torch.Tensor
        What they are for.

    Returns
    -------
    object
        What was built, on the meta device.

    Raises
    ------
    ValueError
        If there is more of it than the parameters are for.

    Example
    -------
    >>> state = nn.Linear(2, 3).state_dict()
    >>> build_like(lambda: nn.Linear(2, 3), state).weight.device
    device(type='meta')
    >>> build_like(lambda: nn.Linear(10**9, 10**9), state)
    Traceback (most recent call last):
    ...
    ValueError: the model is larger than its parameters
    """
    # some modules make more than they keep, and windows are not kept
    values = MOST_WINDOWS + 2 * sum(value.numel() for value in state.values())
    modules = 1000 + MODULES_PER_TENSOR * len(state)
    with _limited(modules, values), torch.device("meta"):
        return build()


@contextlib.contextmanager
def _limited(modules: int, values: int) -> Iterator[None]:
    """Stop this thread where it makes too many modules or values."""
    left, thread = {"modules": modules, "values": values}, threading.get_ident()

    def spend(kind: str, number: int) -> None:
        if threading.get_ident() == thread:
            left[kind] -= number
            if left[kind] < 0:
                raise ValueError("the model is larger than its parameters")

    def count_module(module: nn.Module, name: str, part: Any) -> None:
        spend("modules", 1)

    def count_values(module: nn.Module, name: str, value: Any) -> None:
        spend("values", 0 if value is None else value.numel())

    hooks = [
        register_module_module_registration_hook(count_module),
        register_module_parameter_registration_hook(count_values),
        register_module_buffer_registration_hook(count_values),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
