"""How the page writes names, numbers and paths."""

import math
import re

from speechbrain_fusion.metrics.info import metric_info

# Words that are not written as they are spelled in a column's name.
WORDS = {
    **{x: x.upper() for x in ("sdr", "snr", "pesq", "stoi", "mbstoi", "ild", "itd")},
    **{x: x.upper() for x in ("llr", "wss", "irm", "cirm", "csig", "cbak", "covl")},
    **{"si": "SI", "estoi": "ESTOI", "segsnr": "segmental SNR"},
    "lr": "learning rate",
}
UNITS = {"snr": "dB", "azimuth": "°", "length": "samples"}
# Decimals by unit.
DECIMALS = {"dB": 2, "MOS-LQO": 2, "µs": 1}
# With spaces in it where it is quoted; also one of several, or behind -I or -L.
ABSOLUTE = re.compile(
    r"(?<=')/(?:[^'\n/]+/)+[^'\n]*(?=')"
    r'|(?<=")/(?:[^"\n/]+/)+[^"\n]*(?=")'
    r"|(?:(?<![\w./~…-])|(?<=-[IL]))"
    r"/(?:[^\s'\",:;()\[\]{}/]+/)+[^\s'\",:;()\[\]{}]*"
)
MISSING = "\N{EN DASH}"


def name_text(name: str) -> str:
    """Write the name of a metric, a loss or a condition.

    Example
    -------
    >>> name_text("si_sdr"), name_text("ild_error"), name_text("complex_cycle")
    ('SI-SDR', 'ILD error', 'complex cycle')
    """
    words = [WORDS.get(word, word) for word in name.split("_")]
    return " ".join(words).replace("SI SDR", "SI-SDR")


def condition_text(name: str, value: str | float) -> str:
    """Write what an item is, with the unit if it is known.

    Example
    -------
    >>> condition_text("snr", -2.5), condition_text("noise", "wind")
    ('SNR −2.5 dB', 'noise wind')
    """
    if value == "True":
        return name_text(name)
    if isinstance(value, str):
        return f"{name_text(name)} {value}"
    unit = UNITS.get(name, "")
    gap = "" if unit == "°" else " "
    return f"{name_text(name)} {minus(f'{value:g}')}{gap if unit else ''}{unit}"


def axis_text(name: str) -> str:
    """Write the name of a condition with its unit.

    Example
    -------
    >>> axis_text("snr"), axis_text("noise")
    ('SNR / dB', 'noise')
    """
    unit = UNITS.get(name)
    return f"{name_text(name)} / {unit}" if unit else name_text(name)


def metric_text(metric: str) -> str:
    """Write the name of a metric with its unit.

    Example
    -------
    >>> metric_text("si_sdr"), metric_text("stoi")
    ('SI-SDR / dB', 'STOI')
    """
    unit = metric_info(metric).unit
    return f"{name_text(metric)} / {unit}" if unit else name_text(metric)


def direction(metric: str) -> str:
    """Say by an arrow which way is better.

    Example
    -------
    >>> direction("si_sdr"), direction("ild_error"), direction("other")
    ('↑', '↓', '')
    """
    return {"higher": "↑", "lower": "↓"}.get(metric_info(metric).better, "")


def score_text(metric: str, value: float | None, sign: bool = False) -> str:
    """Write a score with as many decimals as tell something.

    Example
    -------
    >>> score_text("si_sdr", -2.345), score_text("stoi", 0.01, sign=True)
    ('−2.35', '+0.010')
    >>> score_text("pesq", None)
    '–'
    """
    if value is None or not math.isfinite(value):
        return MISSING
    decimals = DECIMALS.get(metric_info(metric).unit, 3)
    text = f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
    # what is rounded to nothing has no sign
    return text.lstrip("+-") if float(text) == 0 else minus(text)


def minus(text: str) -> str:
    """Write negative numbers with a minus in place of a hyphen.

    Example
    -------
    >>> minus("-3")
    '−3'
    """
    return text.replace("-", "\N{MINUS SIGN}")


def seconds_text(seconds: float) -> str:
    """Write a time.

    Example
    -------
    >>> seconds_text(3.84)
    '3.8 s'
    """
    return f"{seconds:.1f} s"


def without_machine(text: str) -> str:
    """Leave of absolute paths their last two names: the rest is of one machine.

    Example
    -------
    >>> without_machine("output_folder: /srv/me/results/binaural/fusion")
    'output_folder: …/binaural/fusion'
    >>> without_machine("https://example.org/a/b and results/a/b and 1/2")
    'https://example.org/a/b and results/a/b and 1/2'
    """
    paths = text.replace("file:///", "/")
    return ABSOLUTE.sub(lambda found: _ending(found.group()), paths)


def _ending(path: str) -> str:
    return "/".join(["…", *[part for part in path.split("/") if part][-2:]])
