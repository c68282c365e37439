"""Small figures as SVG inside the page, which follow its colours.

Coordinates are those of a box WIDTH wide, about as wide as the figure on a telephone,
so that text has there the size that it is given here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_text import minus

WIDTH, HEIGHT = 340.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 34.0
ROW = 24.0
LETTERS = 17

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear map of values to places.

    Example
    -------
    >>> Scale(0.0, 10.0, 100.0, 200.0)(5.0)
    150.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return a value's place."""
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def ticks(low: float, high: float, least: int = 3) -> list[float]:
    """Choose round values in a range.

    Arguments
    ---------
    low, high : float
        The range.
    least : int
        So many at least; there are no more than two and a half times as many.

    Returns
    -------
    list of float
        Multiples of 1, 2 or 5 times a power of ten, none beyond the range.

    Raises
    ------
    ValueError
        If the range is empty.

    Example
    -------
    >>> ticks(-0.3, 9.2)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if not high > low:
        raise ValueError(f"expected low < high, got {low:g} and {high:g}")
    power = 10.0 ** math.ceil(math.log10(high - low))
    steps = (x * power / 10**n for n in range(9) for x in (1.0, 0.5, 0.2))
    found = (_multiples(low, high, step) for step in steps)
    return next(values for values in found if len(values) >= least)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = 3 - math.floor(math.log10(step))
    return [round(number * step, places) for number in range(first, last + 1)]


def around(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    """Return a range with some room around values.

    Example
    -------
    >>> around([0.0, 10.0], room=0.1), around([3.0])
    ((-1.0, 11.0), (2.0, 4.0))
    """
    low, high = min(values), max(values)
    size = room * (high - low) if high > low else abs(low) / 3 or 1.0
    return low - size, high + size


def tick_text(value: float) -> str:
    """Write a value at an axis.

    Example
    -------
    >>> tick_text(-0.25), tick_text(120000.0), tick_text(0.0005), tick_text(2e6)
    ('−0.25', '120k', '5e−4', '2e6')
    """
    size = abs(value)
    if 10000 <= size < 1e6:
        return minus(f"{value / 1000:g}k")
    if size >= 1e6 or 0 < size < 0.001:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return minus(f"{float(mantissa):g}e{int(exponent)}")
    return minus(f"{value:g}")


@dataclass(frozen=True)
class Line:
    """Points (x, y) of one curve or cloud, with its title and its class of colour."""

    title: str
    style: str
    points: Sequence[Point]
    joined: bool = True

    def finite(self) -> list[Point]:
        """Leave out what is not finite."""
        return [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]


def line_chart(
    lines: Sequence[Line],
    label: str,
    across: str,
    whole: bool = False,
    mark: float | None = None,
) -> Html:
    """Draw curves.

    Arguments
    ---------
    lines : sequence of Line
        At least one of them with a finite point.
    label : str
        What the figure shows, for who does not see it.
    across : str
        What x is.
    whole : bool
        Whether only whole numbers are written at the axis of x.
    mark : float, optional
        Where a vertical line goes.

    Returns
    -------
    Html
        The SVG.

    Example
    -------
    >>> chart = line_chart([Line("train", "a", [(1, 3.0), (2, 1.0)])], "loss", "epoch")
    >>> chart.count("<circle")
    2
    """
    points = [point for line in lines for point in line.finite()]
    x = Scale(*around([x for x, _ in points], 0.03), LEFT, WIDTH - RIGHT)
    y = Scale(*around([y for _, y in points]), HEIGHT - BOTTOM, TOP)
    across_ticks = _whole(points) if whole else ticks(x.low, x.high)
    parts = [
        *(_level(y(value), value) for value in ticks(y.low, y.high)),
        *(_below(x(value), value, HEIGHT - BOTTOM + 16) for value in across_ticks),
        _across(across, HEIGHT - 3),
        *([_upright(x(mark))] if mark is not None else []),
        *(_draw(line, x, y) for line in lines),
    ]
    return svg(label, HEIGHT, parts)


def _whole(points: Sequence[Point]) -> list[float]:
    """Choose whole values from the first to the last x, both among them."""
    first, last = (round(pick(x for x, _ in points)) for pick in (min, max))
    step = max(1, math.ceil((last - first) / 6))
    inner = [x for x in range(first, last, step) if last - x > step / 2]
    return [float(x) for x in (*inner, last)]


def _draw(line: Line, x: Scale, y: Scale) -> Html:
    places = [(x(a), y(b)) for a, b in line.finite()]
    shape = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    small = not line.joined or len(places) > 30
    radius = 2.0 if small else 3.0
    dots = [
        tag(
            "circle",
            tag("title", f"{line.title}: {minus(f'{b:.4g}')} at {minus(f'{a:g}')}"),
            cx=f"{cx:.1f}",
            cy=f"{cy:.1f}",
            r=radius,
        )
        for (a, b), (cx, cy) in zip(line.finite(), places, strict=True)
    ]
    curve = [tag("polyline", points=shape)] if line.joined else []
    kind = "curve" if line.joined else "cloud"
    return tag("g", *curve, *dots, class_=f"{kind} {line.style}")


@dataclass(frozen=True)
class Row:
    """A row of a chart: its name, items, and by class of colour mean and values."""

    name: str
    count: int
    means: Mapping[str, float]
    values: Mapping[str, Sequence[float]]


def row_chart(rows: Sequence[Row], label: str, across: str) -> Html:
    """Draw the means of groups as dots in rows, with a line from one to the other.

    Arguments
    ---------
    rows : sequence of Row
        At least one of them with a finite mean or value.
    label : str
        What the figure shows, for who does not see it.
    across : str
        What the values are.

    Returns
    -------
    Html
        The SVG, higher for more rows.

    Example
    -------
    >>> row = Row("wind", 3, {"a": 1.0, "b": 2.0}, {"b": [1.5, 2.5]})
    >>> row_chart([row], "gain in wind", "SNR").count("<circle")
    4
    """
    values = finite_values(rows)
    bottom = TOP + ROW * len(rows)
    left = 30 + 6.2 * min(LETTERS, max(len(row.name) for row in rows))
    x = Scale(*around(values), left, WIDTH - RIGHT)
    marks = ticks(x.low, x.high)
    parts = [
        *(_upright(x(value), bottom, "grid") for value in marks),
        *(_below(x(value), value, bottom + 15) for value in marks),
        _across(across, bottom + 30, (left + WIDTH) / 2),
        *(_draw_row(row, x, TOP + ROW * (n + 0.5)) for n, row in enumerate(rows)),
    ]
    return svg(label, bottom + 34, parts)


def finite_values(rows: Sequence[Row]) -> list[float]:
    """Return what of the rows can be drawn.

    Example
    -------
    >>> finite_values([Row("wind", 3, {"a": math.nan, "b": 2.0}, {})])
    [2.0]
    """
    return [x for row in rows for x in (*row.means.values(), *_flat(row)) if _ok(x)]


def _flat(row: Row) -> list[float]:
    return [x for values in row.values.values() for x in values]


def _ok(value: float) -> bool:
    return math.isfinite(value)


def shortened(name: str) -> str:
    """Leave out the middle of a long name: talkers differ at both ends.

    Example
    -------
    >>> shortened("t27.linda.scotland_t26.m7.gb")
    't27.lind…26.m7.gb'
    """
    half = LETTERS // 2
    return name if len(name) <= LETTERS else f"{name[:half]}…{name[-half:]}"


def _draw_row(row: Row, x: Scale, y: float) -> Html:
    name = tag(
        "text", tag("title", row.name), shortened(row.name), x=0, y=y + 4, class_="row"
    )
    count = tag("text", f"{row.count}", x=x.start - 8, y=y + 4, class_="count")
    cloud = [
        tag("circle", cx=f"{x(value):.1f}", cy=y, r=2, class_=f"cloud {style}")
        for style, values in row.values.items()
        for value in values
        if _ok(value)
    ]
    known = {style: value for style, value in row.means.items() if _ok(value)}
    places = [x(value) for value in known.values()]
    span = [_between(min(places), max(places), y)] if len(places) > 1 else []
    dots = [
        tag(
            "circle",
            tag("title", f"{row.name}: {minus(f'{value:.4g}')}"),
            cx=f"{x(value):.1f}",
            cy=y,
            r=5,
            class_=f"mean {style}",
        )
        for style, value in known.items()
    ]
    return tag("g", name, count, *cloud, *span, *dots)


def svg(label: str, height: float, parts: Sequence[Html]) -> Html:
    """Put parts into an SVG that is as wide as there is room.

    Example
    -------
    >>> svg("nothing", 10.0, [])
    '<svg viewBox="0 0 340 10" role="img" aria-label="nothing"></svg>'
    """
    box = f"0 0 {WIDTH:g} {height:g}"
    return tag("svg", join(parts), viewBox=box, role="img", aria_label=label)


def _between(start: float, end: float, y: float) -> Html:
    x1, x2 = f"{start:.1f}", f"{end:.1f}"
    return tag("line", class_="span", x1=x1, x2=x2, y1=y, y2=y)


def _level(y: float, value: float) -> Html:
    place = f"{y:.1f}"
    line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place, class_="grid")
    text = tag("text", tick_text(value), x=LEFT - 6, y=f"{y + 4:.1f}", class_="end")
    return join([line, text])


def _below(x: float, value: float, y: float) -> Html:
    return tag("text", tick_text(value), x=f"{x:.1f}", y=y, class_="middle")


def _across(text: str, y: float, x: float = (LEFT + WIDTH - RIGHT) / 2) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=y, class_="middle axis")


def _upright(x: float, bottom: float = HEIGHT - BOTTOM, style: str = "mark") -> Html:
    place = f"{x:.1f}"
    return tag("line", x1=place, x2=place, y1=TOP, y2=bottom, class_=style)
