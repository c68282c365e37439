"""Draw the block diagrams of the pages as SVG files beside this one.

    python docs/figures/draw.py

Colours are those of the page that an SVG stands in, light or dark; those named here
where it stands alone.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

STYLE = """\
.diagram .block { fill: var(--color-background-secondary, #f5f6f8);
  stroke: var(--color-foreground-muted, #6b7280); stroke-width: 1.2; }
.diagram .shared { stroke: var(--color-brand-primary, #0a4bff); stroke-width: 2.2; }
.diagram .frozen { stroke-dasharray: 5 3; }
.diagram .line { fill: none; stroke: var(--color-foreground-secondary, #4b5563);
  stroke-width: 1.4; }
.diagram .main { stroke: var(--color-brand-primary, #0a4bff); stroke-width: 2.2; }
.diagram .aside { stroke-dasharray: 4 3; }
.diagram .head { fill: var(--color-foreground-secondary, #4b5563); }
.diagram .head-main { fill: var(--color-brand-primary, #0a4bff); }
.diagram text { fill: var(--color-foreground-primary, #111827); font: 14px sans-serif; }
.diagram .small { font-size: 12px; fill: var(--color-foreground-secondary, #4b5563); }
.diagram .emphasis { fill: var(--color-brand-primary, #0a4bff); }
"""
Point = tuple[float, float]


class Diagram:
    """Blocks, lines and words, written in the order in which they are added."""

    def __init__(self, name: str, title: str, width: int, height: int) -> None:
        self.name, self.title, self.size = name, title, (width, height)
        self.parts: list[str] = []

    def block(self, x: float, y: float, text: str, wide: float = 120, kind="") -> None:
        """Add a block with its middle at x, y; a line of text for each line."""
        lines = text.split("\n")
        high = 12 + 18 * len(lines)
        self.parts.append(
            f'<rect class="block {kind}" x="{x - wide / 2}" y="{y - high / 2}" '
            f'width="{wide}" height="{high}" rx="5"/>'
        )
        for number, line in enumerate(lines):
            self.text(x, y + 18 * (number - (len(lines) - 1) / 2), line)

    def operator(self, x: float, y: float, sign: str, kind: str = "") -> None:
        """Add a round one, such as a product."""
        self.parts.append(f'<circle class="block {kind}" cx="{x}" cy="{y}" r="13"/>')
        self.text(x, y, sign)

    def text(self, x: float, y: float, text: str, kind: str = "", at="middle") -> None:
        """Add words; what follows an underscore is an index."""
        low = r'\1<tspan dy="4" font-size="10">\2</tspan><tspan dy="-4">&#8203;</tspan>'
        text = re.sub(r"(\w)_(\w+)", low, text)
        self.parts.append(
            f'<text class="{kind}" x="{x}" y="{y}" dy=".35em" text-anchor="{at}">'
            f"{text}</text>"
        )

    def arrow(self, *points: Point, kind: str = "", head: bool = True) -> None:
        """Add a line through points, with a head at its end."""
        path = " L".join(f"{x} {y}" for x, y in points)
        color = "-main" if "main" in kind else ""
        end = f' marker-end="url(#{self.name}-head{color})"' if head else ""
        self.parts.append(f'<path class="line {kind}" d="M{path}"{end}/>')

    def svg(self) -> str:
        """Return the file's text."""
        width, height = self.size
        heads = "".join(
            f'<marker id="{self.name}-head{color}" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" '
            f'orient="auto"><path class="head{color}" d="M0 0 L8 4 L0 8 z"/></marker>\n'
            for color in ("", "-main")
        )
        body = "\n".join(self.parts)
        return (
            f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-labelledby="{self.name}-title" viewBox="0 0 {width} {height}" '
            f'style="max-width: {width}px">\n'
            f'<title id="{self.name}-title">{self.title}</title>\n'
            f"<style>\n{STYLE}</style>\n<defs>\n{heads}</defs>\n{body}\n</svg>\n"
        )


def chain(diagram: Diagram, x: float, ys: Sequence[float], kind: str = "") -> None:
    """Join blocks of one line of text that stand below each other."""
    for upper, lower in itertools.pairwise(ys):
        diagram.arrow((x, upper + 15), (x, lower - 15), kind=kind)


def draw_binaural() -> Diagram:
    """Two TasNets that meet in front of and behind the temporal convolutions."""
    d = Diagram(
        "binaural",
        "Two enhancers, one per ear: encoder, temporal convolutions, masker, decoder; "
        "the ears' latents are multiplied in front of and behind the convolutions, and "
        "each mask multiplies its ear's own encoding.",
        500,
        500,
    )
    for side, x, out in (("left", 130, -1), ("right", 370, 1)):
        d.text(x, 18, f"{side} ear")
        d.arrow((x, 32), (x, 65))
        d.block(x, 80, "encoder")
        d.arrow((x, 95), (x, 145), (x - out * 105, 145), kind="main")
        d.arrow((x - out * 105, 158), (x, 172), (x, 195))
        d.block(x, 210, "TCN")
        d.arrow((x, 225), (x, 275), (x - out * 105, 275), kind="main")
        d.arrow((x - out * 105, 288), (x, 302), (x, 325))
        d.block(x, 340, "masker")
        d.arrow((x, 355), (x, 382))
        d.operator(x, 395, "\u00d7")
        d.arrow((x, 408), (x, 427))
        d.block(x, 442, "decoder")
        d.arrow((x, 457), (x, 480))
        d.text(x, 490, f"enhanced, {side}")
        # the own, unfused encoding
        skip = x + out * 85
        points = ((x, 108), (skip, 108), (skip, 395), (x + out * 13, 395))
        d.arrow(*points, kind="aside")
        d.text(skip + out * 6, 250, "own", "small", "end" if out < 0 else "start")
    for y, name in ((145, "front fusion"), (275, "back fusion")):
        d.operator(250, y, "⊙", "shared")
        d.text(250, y - 26, name, "small emphasis")
    return d


def draw_unified() -> Diagram:
    """Enhancement of features, then separation, with a loss at either place."""
    d = Diagram(
        "unified",
        "The noisy mixture is encoded; an enhancement network masks its features, a "
        "separation network masks the enhanced features, and a decoder gives each "
        "talker. One loss compares enhanced with clean features, one the talkers.",
        500,
        470,
    )
    x, side = 150, 390
    d.text(x, 15, "noisy mixture")
    d.arrow((x, 25), (x, 55))
    d.block(x, 70, "encoder E", 130, "shared")
    chain(d, x, [70, 135])
    d.block(x, 135, "SE network", 130, "shared")
    d.arrow((x, 150), (x, 187))
    d.operator(x, 200, "⊙")
    d.arrow((x, 103), (50, 103), (50, 200), (x - 13, 200), kind="aside")
    d.text(44, 150, "w_n", "small", "end")
    d.arrow((x, 213), (x, 255))
    d.block(x, 270, "SS network", 130)
    d.arrow((x, 285), (x, 322))
    d.operator(x, 335, "⊙")
    d.arrow((x, 234), (50, 234), (50, 335), (x - 13, 335), kind="aside")
    d.text(44, 285, "w_e", "small", "end")
    d.arrow((x, 348), (x, 375))
    d.block(x, 390, "decoder D", 130)
    d.arrow((x, 405), (x, 440))
    d.text(x, 452, "talkers s_1 … s_C")
    d.text(side, 15, "clean mixture")
    d.arrow((side, 25), (side, 55))
    d.block(side, 70, "encoder E", 130, "shared")
    d.arrow((side, 85), (side, 219))
    d.text(side + 8, 150, "w_c", "small", "start")
    d.arrow((x, 234), (side - 62, 234), kind="main")
    d.block(side, 234, "L_SE", 120)
    d.text(side, 268, "features", "small")
    d.text(side, 405, "clean talkers")
    d.arrow((side, 415), (side, 437))
    d.block(side, 452, "L_SS", 120)
    d.arrow((x + 65, 452), (side - 62, 452), kind="main")
    return d


def draw_projection() -> Diagram:
    """Show what modulation takes out of a gradient in conflict."""
    d = Diagram(
        "projection",
        "The gradient of the enhancement loss points partly against that of the "
        "separation loss; its projection on the plane normal to the latter is kept.",
        500,
        215,
    )
    origin = (230.0, 170.0)
    d.arrow((230, 195), (230, 20), kind="aside", head=False)
    d.text(222, 26, "normal plane of G_SS", "small", "end")
    d.arrow(origin, (440, 170), kind="main")
    d.text(490, 190, "G_SS, unchanged", "emphasis", "end")
    d.arrow(origin, (90, 70))
    d.text(66, 62, "G_SE")
    d.arrow((90, 70), (226, 70), kind="aside")
    d.text(160, 84, "taken out", "small")
    d.arrow(origin, (230, 72), kind="main")
    d.text(240, 108, "G_SE\u2032", "emphasis", "start")
    d.arrow(origin, (438, 73))
    d.text(490, 56, "update = G_SS + G_SE\u2032", at="end")
    return d


def draw_two_branch() -> Diagram:
    """Two networks, of magnitude and of phase, with exchange between encoders."""
    d = Diagram(
        "two-branch",
        "The noisy spectrum goes into a magnitude and a complex branch, each an "
        "encoder of expert blocks, temporal units and decoders; the magnitude "
        "branch's experts control the gates of the complex branch's encoder. The "
        "magnitude of one and the phase of the other make the enhanced spectrum.",
        500,
        440,
    )
    left, right = 130, 370
    d.text(250, 15, "noisy spectrum, compressed")
    for x in (left, right):
        d.arrow((250, 26), (250, 42), (x, 42), (x, 92))
    d.text(left - 8, 68, "magnitude branch", "small", "end")
    d.text(right + 8, 68, "complex branch", "small", "start")
    d.block(left, 116, "encoder\n5 expert blocks", 150, "shared")
    d.block(right, 116, "encoder\n5 controlled blocks", 150, "shared")
    for y in (104, 116, 128):
        d.arrow((left + 75, y), (right - 77, y), kind="main")
    d.text(250, 88, "com", "small emphasis")
    for x, out in ((left, -1), (right, 1)):
        d.arrow((x, 140), (x, 181))
        d.block(x, 196, "temporal units", 150)
        d.arrow((x, 211), (x, 252))
        side, edge = x + 90 * out, x + 75 * out
        points = ((edge, 116), (side, 116), (side, 276), (edge + 2 * out, 276))
        d.arrow(*points, kind="aside")
    d.block(left, 276, "decoder\nsoftplus", 150)
    d.block(right, 276, "two decoders\nreal, imaginary", 150)
    d.arrow((left, 300), (left, 365), (164, 365))
    d.text(left - 8, 340, "|S|", "small", "end")
    d.arrow((right, 300), (right, 365), (336, 365))
    d.text(right + 8, 340, "phase", "small", "start")
    d.block(250, 365, "recover, inverse STFT", 170)
    d.arrow((250, 380), (250, 415))
    d.text(250, 427, "enhanced speech")
    return d


def draw_expert_block() -> Diagram:
    """Two experts, each gated by the other."""
    d = Diagram(
        "expert-block",
        "A collaborative expert block: two convolutions of the same input, each "
        "multiplied by a gate that is computed from the other, and added.",
        500,
        330,
    )
    d.text(250, 12, "x")
    d.arrow((250, 20), (250, 35))
    d.block(250, 50, "conv 1\u00d71", 110)
    for x in (130, 370):
        d.arrow((250, 65), (250, 80), (x, 80), (x, 97))
        d.block(x, 112, "expert, conv m\u00d7n", 140)
    d.text(35, 190, "l", "small")
    d.text(465, 190, "r", "small")
    for x, side in ((130, -1), (370, 1)):
        d.arrow((x, 127), (x, 160))
        d.block(x, 175, "gate, \u03c3(conv 1\u00d71)", 140)
        outer = x + side * 85
        d.arrow((x, 144), (outer, 144), (outer, 235), (x + side * 13, 235))
        d.operator(x, 235, "\u00d7")
        other = 500 - x
        d.arrow((x, 190), (x, 200), (other, 213), (other, 221), kind="main")
    for x, end in ((130, 237), (370, 263)):
        d.arrow((x + (13 if x < 250 else -13), 235), (end, 235))
    d.operator(250, 235, "+", "shared")
    d.arrow((250, 248), (250, 275))
    d.text(262, 262, "com, to the other branch", "small emphasis", "start")
    d.block(250, 290, "conv 1\u00d71", 110)
    d.arrow((250, 305), (250, 322))
    return d


def draw_shared_latent() -> Diagram:
    """Two autoencoders, and the way from one's encoder to the other's decoders."""
    d = Diagram(
        "shared-latent",
        "The speech autoencoder maps clean speech to a latent and back by an amplitude "
        "and a phase decoder. The mixture autoencoder maps other, noisy speech to the "
        "same space and back; for enhancement its latent goes to the clean decoders.",
        500,
        400,
    )
    left, right = 120, 380
    d.text(left, 15, "clean speech")
    d.text(right, 15, "noisy speech, unrelated")
    for x, name, kind in ((left, "E_s", "frozen"), (right, "E_m", "")):
        d.arrow((x, 25), (x, 60), kind="main" if x == right else "")
        d.block(x, 75, f"encoder {name}", 130, kind)
    d.arrow((left, 90), (left, 120), (190, 150))
    d.arrow((right, 90), (right, 120), (310, 150), kind="main")
    d.block(250, 165, "shared latent space", 180, "shared")
    d.arrow((195, 180), (left, 215), (left, 252), kind="main")
    d.arrow((305, 180), (right, 215), (right, 252))
    d.block(left, 276, "decoders D_A, D_P\namplitude, phase", 160, "frozen")
    d.block(right, 276, "decoder D_m\nmixture", 160)
    d.arrow((left, 300), (left, 345), kind="main")
    d.arrow((right, 300), (right, 345))
    d.text(left, 358, "enhanced speech", "emphasis")
    d.text(right, 358, "noisy speech again")
    d.text(left, 388, "stage one, then frozen", "small")
    d.text(right, 388, "stage two", "small")
    return d


FIGURES: tuple[Callable[[], Diagram], ...] = (
    draw_binaural,
    draw_unified,
    draw_projection,
    draw_two_branch,
    draw_expert_block,
    draw_shared_latent,
)

if __name__ == "__main__":
    for figure in FIGURES:
        diagram = figure()
        path = Path(__file__).parent / f"{diagram.name}.svg"
        path.write_text(diagram.svg(), encoding="utf-8")
