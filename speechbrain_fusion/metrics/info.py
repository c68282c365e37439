"""Units of the metrics, and which way is better."""

from typing import NamedTuple


class MetricInfo(NamedTuple):
    """A metric's unit and the direction that is better, "" where none is known."""

    unit: str = ""
    better: str = ""


METRICS = {
    "si_sdr": MetricInfo("dB", "higher"),
    "sdr": MetricInfo("dB", "higher"),
    "snr": MetricInfo("dB", "higher"),
    "pesq": MetricInfo("MOS-LQO", "higher"),
    "stoi": MetricInfo("", "higher"),
    "estoi": MetricInfo("", "higher"),
    "mbstoi": MetricInfo("", "higher"),
    "csig": MetricInfo("", "higher"),
    "cbak": MetricInfo("", "higher"),
    "covl": MetricInfo("", "higher"),
    "llr": MetricInfo("", "lower"),
    "wss": MetricInfo("dB", "lower"),
    "segsnr": MetricInfo("dB", "higher"),
    "ild_error": MetricInfo("dB", "lower"),
    "itd_error": MetricInfo("µs", "lower"),
    "residual_noise": MetricInfo("dB", "lower"),
    "over_suppression": MetricInfo("dB", "lower"),
}

# Scored in a network's own features: what comes in is another for each network.
FEATURE_METRICS = ("residual_noise", "over_suppression")


def metric_info(metric: str) -> MetricInfo:
    """Look up a metric's unit and direction; one that is not known has neither.

    Example
    -------
    >>> metric_info("itd_error")
    MetricInfo(unit='µs', better='lower')
    """
    return METRICS.get(metric, MetricInfo())


def gain(metric: str, unprocessed: float, enhanced: float) -> float:
    """Say how much better a metric got: positive is better, for errors too.

    Example
    -------
    >>> gain("si_sdr", 1.0, 3.5), gain("ild_error", 3.0, 2.5)
    (2.5, 0.5)
    """
    change = enhanced - unprocessed
    return -change if metric_info(metric).better == "lower" else change
