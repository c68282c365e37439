"""ONNX for operations that PyTorch's exporter does not know, or whose lengths it fixes.

The exporter that records a trace is used: it keeps lengths open where shapes are
computed, and is the same from PyTorch 2.6 on. Within `operators()` it also knows what
the systems need. Shapes are written as constants wherever at most one axis besides the
batch is open, which spares most nodes of a streaming step.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.onnx import symbolic_opset9, symbolic_opset11

OPSET = 17
"""Version of the ONNX operators: the first with layer normalization."""

REST = -1
"""In a shape: all that is left."""


class Axis(NamedTuple):
    """In a shape: as long as an axis of the input, which is open."""

    number: int


Known = int | None
Size = int | Axis
"""An axis of a shape to be: a number, `REST`, or as long as one of the input."""


@contextlib.contextmanager
def operators() -> Iterator[None]:
    """Let PyTorch's exporter know what is in `OPERATORS`.

    Example
    -------
    >>> with operators():
    ...     pass
    """
    for name, symbolic in OPERATORS.items():
        own = _with_rank(symbolic)
        torch.onnx.register_custom_op_symbolic(f"aten::{name}", own, OPSET)
    try:
        yield
    finally:
        for name in OPERATORS:
            torch.onnx.unregister_custom_op_symbolic(f"aten::{name}", OPSET)


def _with_rank(symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """Give results the number of axes that was recorded, where it is not inferred."""

    @functools.wraps(symbolic)
    def ranked(graph: Any, *args: Any) -> Any:
        y = symbolic(graph, *args)
        rank = graph.original_node.output().type().dim()
        if rank is not None and _known_sizes(y) is None:
            y.setType(graph.original_node.output().type().with_sizes([None] * rank))
        return y

    return ranked


def _constant(graph: Any, value: Any) -> Any:
    return graph.op("Constant", value_t=torch.tensor(value))


def _is_constant(value: Any) -> bool:
    return value.node().kind() in ("onnx::Constant", "prim::Constant")


def _number(value: Any) -> Any:
    """Return a constant's value, which is a number, a list of them or None."""
    node = value.node()
    if node.mustBeNone():
        return None
    kind = node.kindOf("value")
    if kind == "ival":
        return value.toIValue()
    return node.t("value").tolist() if kind == "t" else getattr(node, kind)("value")


def _items(value: Any) -> list[Any]:
    """Return the items of a list: numbers where they are known, else graph values."""
    if value.node().kind() != "prim::ListConstruct":
        return [*_number(value)]
    return [_known_size(each) for each in value.node().inputs()]


def _known_size(value: Any) -> Any:
    """Return a size as a number, if it is a constant or that of an axis not open."""
    if _is_constant(value):
        return int(_number(value))
    node = value.node()
    if node.kind() == "onnx::Gather":
        shape, index = node.inputs()
        if shape.node().kind() == "onnx::Shape" and _is_constant(index):
            size = _sizes(next(shape.node().inputs()))[_number(index)]
            return size if isinstance(size, int) else value
    return value


def _join(graph: Any, items: list[Any]) -> Any:
    """Make a vector of numbers and graph values."""
    if all(isinstance(item, int) for item in items):
        return _constant(graph, items)
    one = _constant(graph, [1])
    parts = [
        _constant(graph, [item])
        if isinstance(item, int)
        else graph.op("Reshape", item, one)
        for item in items
    ]
    return graph.op("Concat", *parts, axis_i=0)


def _sizes(x: Any) -> list[Size]:
    """Return a tensor's shape as far as it is known."""
    known = x.type().varyingSizes()
    return [Axis(i) if size is None else size for i, size in enumerate(known)]


def _rank(x: Any) -> int:
    return len(_sizes(x))


def _length(graph: Any, x: Any, axis: int) -> Any:
    return graph.op("Gather", graph.op("Shape", x), _constant(graph, axis), axis_i=0)


def _reshape(graph: Any, x: Any, sizes: list[Any]) -> Any:
    """Reshape to numbers, axes of the input, graph values and one `REST`."""
    # zero keeps an axis that stays in its place
    shape = [0 if size == Axis(i) else size for i, size in enumerate(sizes)]
    open_ = [i for i, size in enumerate(shape) if size == 0 or isinstance(size, Axis)]
    if open_ and REST not in shape:
        shape[open_[-1]] = REST
    shape = [_length(graph, x, s.number) if isinstance(s, Axis) else s for s in shape]
    y = graph.op("Reshape", _before_reshape(x, shape), _join(graph, shape))
    # what the exporter infers of zeros and rests is that nothing is known
    known = [size if isinstance(size, int) and size > 0 else None for size in sizes]
    return y.setType(x.type().with_sizes(known))


def _before_reshape(x: Any, shape: list[Any]) -> Any:
    """Return what was reshaped to `x`, if the new shape says the same of it."""
    node = x.node()
    if node.kind() != "onnx::Reshape" or not all(isinstance(s, int) for s in shape):
        return x
    source, before = node.inputs()
    kept = [i for i, size in enumerate(shape) if size == 0]
    same = _is_constant(before) and all(_number(before)[i] == 0 for i in kept)
    return source if same else x


def _flatten(graph: Any, x: Any, start: Any, end: Any) -> Any:
    sizes = _sizes(x)
    first, last = (_number(axis) % len(sizes) for axis in (start, end))
    inner = sizes[first : last + 1]
    numbers = [size for size in inner if isinstance(size, int)]
    whole = math.prod(numbers) if len(numbers) == len(inner) else REST
    return _reshape(graph, x, [*sizes[:first], whole, *sizes[last + 1 :]])


def _unflatten(graph: Any, x: Any, axis: Any, sizes: Any) -> Any:
    own, parts = _sizes(x), _items(sizes)
    place = _number(axis) % len(own)
    whole = own[place]
    if isinstance(whole, int) and all(isinstance(part, int) for part in parts):
        known = math.prod(part for part in parts if part != REST)
        parts = [whole // known if part == REST else part for part in parts]
    return _reshape(graph, x, [*own[:place], *parts, *own[place + 1 :]])


def _unsqueeze(graph: Any, x: Any, axis: Any) -> Any:
    sizes = _sizes(x)
    place = _number(axis) % (len(sizes) + 1)
    if sum(isinstance(size, Axis) for size in sizes[place:]) > 1:
        return graph.op("Unsqueeze", x, _constant(graph, [place]))
    return _reshape(graph, x, [*sizes[:place], 1, *sizes[place:]])


def _squeeze(graph: Any, x: Any, axis: Any) -> Any:
    sizes = _sizes(x)
    place = _number(axis) % len(sizes)
    if graph.original_node.output().type().dim() == len(sizes):
        return x
    if sum(isinstance(size, Axis) for size in sizes[place:]) > 1:
        return graph.op("Squeeze", x, _constant(graph, [place]))
    return _reshape(graph, x, [*sizes[:place], *sizes[place + 1 :]])


def _transpose_last(graph: Any, x: Any) -> Any:
    rank = _rank(x)
    return graph.op("Transpose", x, perm_i=[*range(rank - 2), rank - 1, rank - 2])


def _movedim(graph: Any, x: Any, source: Any, destination: Any) -> Any:
    rank = _rank(x)
    start, end = (_number(axis) % rank for axis in (source, destination))
    order = [axis for axis in range(rank) if axis != start]
    order.insert(end, start)
    return graph.op("Transpose", x, perm_i=order)


def _pad(graph: Any, x: Any, amounts: Any, mode: Any, value: Any) -> Any:
    items = _items(amounts)
    if all(isinstance(item, int) and item == 0 for item in items):
        return x
    if _number(mode) != "constant" or _number(value):
        return symbolic_opset11.pad(graph, x, amounts, mode, value)
    # PyTorch tells both ends of the last axis first, ONNX all beginnings first
    others = [0] * (_rank(x) - len(items) // 2)
    pads = [*others, *items[-2::-2], *others, *items[-1::-2]]
    return graph.op("Pad", x, _join(graph, pads))


def _unfold(graph: Any, x: Any, axis: Any, size: Any, step: Any) -> Any:
    rank = _rank(x)
    place, size, step = _number(axis) % rank, int(_number(size)), int(_number(step))
    end = graph.op("Sub", _length(graph, x, place), _constant(graph, size - 1))
    starts = graph.op("Range", _constant(graph, 0), end, _constant(graph, step))
    starts = graph.op("Unsqueeze", starts, _constant(graph, [1]))
    index = graph.op("Add", starts, _constant(graph, [*range(size)]))
    pieces = graph.op("Gather", x, index, axis_i=place)
    if place == rank - 1:
        return pieces
    order = [*range(place + 1), *range(place + 2, rank + 1), place + 1]
    return graph.op("Transpose", pieces, perm_i=order)


def _floor_divide(graph: Any, x: Any, divisor: Any) -> Any:
    # the exporter's own rounds negative quotients up
    whole = graph.op("Sub", x, graph.op("Mod", x, divisor))
    return graph.op("Div", whole, divisor)


def _standardize(graph: Any, x: Any, axes: list[int], eps: Any) -> Any:
    centred = graph.op("Sub", x, graph.op("ReduceMean", x, axes_i=axes))
    square = graph.op("Mul", centred, centred)
    variance = graph.op("ReduceMean", square, axes_i=axes)
    spread = graph.op("Add", variance, _constant(graph, float(_number(eps))))
    return graph.op("Div", centred, graph.op("Sqrt", spread))


def _layer_norm(
    graph: Any, x: Any, shape: Any, weight: Any, bias: Any, eps: Any, _: Any
) -> Any:
    rank = _rank(x)
    axes = [*range(rank - len(_items(shape)), rank)]
    y = _standardize(graph, x, axes, eps)
    y = y if weight.node().mustBeNone() else graph.op("Mul", y, weight)
    return y if bias.node().mustBeNone() else graph.op("Add", y, bias)


def _group_norm(
    graph: Any, x: Any, groups: Any, weight: Any, bias: Any, eps: Any, _: Any
) -> Any:
    sizes = _sizes(x)
    count = int(_number(groups)) if _is_constant(groups) else groups
    apart = _reshape(graph, x, [sizes[0], count, REST])
    y = _standardize(graph, apart, [2], eps)
    y = graph.op("Reshape", y, graph.op("Shape", x))
    axes = _constant(graph, [*range(1, len(sizes) - 1)])
    y = graph.op("Mul", y, graph.op("Unsqueeze", weight, axes))
    return graph.op("Add", y, graph.op("Unsqueeze", bias, axes))


def _elementwise(name: str) -> Callable[..., Any]:
    """Have the exporter's own, and know what is known of the result's shape."""
    own = getattr(symbolic_opset9, name)

    def symbolic(graph: Any, x: Any, other: Any, *rest: Any) -> Any:
        y = own(graph, x, other, *rest)
        first, second = _known_sizes(x), _known_sizes(other)
        if first is None or second is None:
            return y
        return y.setType(y.type().with_sizes(_broadcast(first, second)))

    return symbolic


def _known_sizes(x: Any) -> list[Known] | None:
    return x.type().varyingSizes() if x.type().kind() == "TensorType" else None


def _broadcast(first: Sequence[Known], second: Sequence[Known]) -> list[Known]:
    """Return the shape that two shapes lead to, None where it is open."""
    rank = max(len(first), len(second))
    ones: list[list[Known]] = [[1] * (rank - len(each)) for each in (first, second)]
    pairs = zip([*ones[0], *first], [*ones[1], *second], strict=True)
    return [_common(*pair) for pair in pairs]


def _common(first: Known, second: Known) -> Known:
    """Return the size of two axes broadcast, None if it is open."""
    if first == 1 or (first is None and second != 1):
        return second
    return first


def _expand_as(graph: Any, x: Any, other: Any) -> Any:
    return graph.op("Expand", x, graph.op("Shape", other)).setType(other.type())


def _to(graph: Any, x: Any, *args: Any) -> Any:
    y = symbolic_opset9.to(graph, x, *args)
    if y.type().scalarType() == x.type().scalarType():
        return x
    return y.setType(y.type().with_sizes(x.type().varyingSizes()))


def _hann_window(graph: Any, size: Any, *_: Any) -> Any:
    return graph.op("Constant", value_t=torch.hann_window(int(_number(size))))


OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: _elementwise(name) for name in ("add", "div", "mul", "sub")},
    "expand_as": _expand_as,
    "flatten": _flatten,
    "floor_divide": _floor_divide,
    "group_norm": _group_norm,
    "hann_window": _hann_window,
    "layer_norm": _layer_norm,
    "movedim": _movedim,
    "mT": _transpose_last,
    "pad": _pad,
    "squeeze": _squeeze,
    "to": _to,
    "unflatten": _unflatten,
    "unfold": _unfold,
    "unsqueeze": _unsqueeze,
}
