"""The card of a model folder: what it is, how to use it, how good it is."""

from collections.abc import Mapping
from typing import Any

from speechbrain_fusion.metrics.info import metric_info

TAGS = {"enhance": "speech-enhancement", "separate": "speech-separation"}
TITLES = {"enhance": "enhancement", "separate": "separation"}


def model_card(config: Mapping[str, Any], values: int) -> str:
    """Write the card of a model.

    Arguments
    ---------
    config : mapping
        The facts of a model folder.
    values : int
        Number of its parameters and statistics.

    Returns
    -------
    str
        Markdown, with the header that model hubs read.

    Example
    -------
    >>> from speechbrain_fusion.inference import load
    >>> model_card(load().config, values=1000).splitlines()[:2]
    ['---', 'library_name: speechbrain']
    """
    sections = {
        f"# {config['name']}": _what(config, values),
        "## Use": _use(config),
        "## Training": _training(config),
        "## Results": _results(config["metrics"]),
        "## Versions": [f"- {k} {v}" for k, v in config["versions"].items()],
        "## Limits": [
            "To be written by who publishes this model: what it was trained on and "
            "under which licences, what it was not tried on, and where it fails."
        ],
    }
    parts = [f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([_header(config), *parts]) + "\n"


def _header(config: Mapping[str, Any]) -> str:
    tags = ["speechbrain-fusion", "speechbrain", TAGS[config["task"]]]
    lines = ["---", "library_name: speechbrain", "tags:", *(f"- {x}" for x in tags)]
    return "\n".join([*lines, "---"])


def _what(config: Mapping[str, Any], values: int) -> list[str]:
    inputs, outputs, rate = config["inputs"], config["outputs"], config["sample_rate"]
    channels = "one channel" if inputs == 1 else f"{inputs} channels together"
    if config["task"] == "separate":
        channels = f"{outputs} talkers in {channels}"
    causal = "not causal"
    if config["causal"]:
        milliseconds = 1000 * config["latency"] / rate
        causal = f"causal, {config['latency']} samples ({milliseconds:g} ms) of latency"
    return [
        f"Speech {TITLES[config['task']]}: {channels} at {rate} Hz, {causal}; "
        f"{values:,} values in {config['precision']}."
    ]


def _use(config: Mapping[str, Any]) -> list[str]:
    verb = config["task"]
    return [
        "```python",
        "from speechbrain_fusion import inference",
        "",
        'model = inference.load("FOLDER")  # this folder',
        f"result = model.{verb}(signal, rate)  # [channels, time], of any rate in Hz",
        "```",
        "",
        "```",
        f"speechbrain-fusion {verb} noisy.wav -o result.wav --model FOLDER",
        "```",
    ]


def _training(config: Mapping[str, Any]) -> list[str]:
    facts = {
        "recipe": config["recipe"],
        "corpus": config["corpus"],
        "seed": config["seed"],
        "written": config["created"],
    }
    return [f"- {key}: {'unknown' if x is None else x}" for key, x in facts.items()]


def _results(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out the means over the test set."""
    if not metrics:
        return ["None."]
    systems = list(dict.fromkeys(name for means in metrics.values() for name in means))
    rows = [["metric", *systems], ["---", *["---:"] * len(systems)]]
    for name, means in metrics.items():
        unit = metric_info(name).unit
        title = f"{name} ({unit})" if unit else name
        rows.append([title, *(_figure(means.get(system)) for system in systems)])
    table = [f"| {' | '.join(row)} |" for row in rows]
    return ["Means over the test set:", "", *table]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
