"""Players of a test's items: signals in step above their spectrograms."""

from collections.abc import Mapping, Sequence
from typing import Any

from speechbrain_fusion.report.extremes import BEST, WORST
from speechbrain_fusion.report.page_audio import (
    Sound,
    Sounds,
    group_of,
    load_sounds,
)
from speechbrain_fusion.report.page_charts import ticks
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_run import GROUPS, Kept, Run, item_means
from speechbrain_fusion.report.page_scores import (
    badge,
    extremes_table,
    gain_class,
    gain_text,
    ranked,
    what_it_is,
)
from speechbrain_fusion.report.page_text import metric_text, score_text, seconds_text

HEADINGS = {
    WORST: "Worst items",
    BEST: "Best items",
    "first": "First items of the test",
}
# Digits choose a signal.
KEYS = 9


def listen_section(run: Run) -> Html:
    """Make players for what a run has kept, and list its worst and best items.

    Arguments
    ---------
    run : Run
        It may have kept nothing, which is said then.

    Returns
    -------
    Html
        The content of the section.
    """
    sounds, left_out = load_sounds(by_rank(run))
    places = {x.item.id: f"item-{number}" for number, x in enumerate(sounds, 1)}
    parts = [extremes_table(run, places)]
    if not sounds:
        text = "No audio of the test was kept (examples: 0), or it is gone."
        return join([*parts, tag("p", text, class_="missing")])
    parts.append(_how_to(sounds))
    if left_out:
        text = f"No room on this page for the audio of {', '.join(left_out)}; it is in "
        parts.append(tag("p", text, tag("code", "examples/"), ".", class_="note"))
    for group in GROUPS:
        found = [x for x in sounds if group_of(x.item) == group]
        if found:
            parts.append(tag("h3", HEADINGS[group]))
            parts += [player(run, x, places[x.item.id]) for x in found]
    return join(parts)


def by_rank(run: Run) -> list[Kept]:
    """Order kept items: the worst first among the worst, the best among the best."""
    places = {name: place for place, (name, _) in enumerate(ranked(run))}

    def order(item: Kept) -> int:
        sign = {WORST: 1, BEST: -1}.get(group_of(item), 0)
        return sign * places.get(item.id, 0)

    return sorted(run.kept, key=order)


def _how_to(sounds: Sequence[Sounds]) -> Html:
    most = min(KEYS, max(len(x.sounds) for x in sounds))
    keys = [
        tag("kbd", "Space"),
        " plays and pauses, ",
        *(
            tag("kbd", "1"),
            " to ",
            tag("kbd", f"{most}"),
            " switch the signal in step (",
        ),
        *(tag("kbd", "↑"), " ", tag("kbd", "↓"), " too), "),
        *(tag("kbd", "←"), " ", tag("kbd", "→"), " move by half a second."),
    ]
    scale = tag(
        "span",
        *("\N{MINUS SIGN}70 dB ", tag("span", class_="ramp", aria_hidden="true")),
        " the item\N{RIGHT SINGLE QUOTATION MARK}s loudest",
        class_="scale",
    )
    return join(
        [
            tag("p", *keys, class_="keys"),
            tag("p", "Spectrograms of an item have one scale: ", scale, class_="keys"),
        ]
    )


# -- players -----------------------------------------------------------------------


def player(run: Run, sounds: Sounds, place: str) -> Html:
    """Make an item's player, with its scores and spectrograms.

    Arguments
    ---------
    run : Run
        Whose item it is.
    sounds : Sounds
        Its signals.
    place : str
        Its id on the page.

    Returns
    -------
    Html
        An article; what switches in step needs the page's script, without it there is
        an audio element for each signal.
    """
    name = sounds.item.id
    heading = tag("h4", name, id=f"{place}-name")
    # in the order of the page, then what the page does not know
    reasons = dict.fromkeys([x for x in GROUPS if x in sounds.item.why])
    badges = [badge(why) for why in reasons | dict.fromkeys(sounds.item.why)]
    what = tag("p", what_it_is(run, name), class_="what")
    head = tag("header", tag("div", heading, *badges, class_="title"), what)
    body = [_player(run, sounds, name)] if sounds.sounds else []
    return tag(
        "article",
        head,
        _scores(run, name),
        *(tag("p", text, class_="note") for text in (*_changes(sounds), *sounds.notes)),
        *body,
        id=place,
        aria_labelledby=f"{place}-name",
    )


def _changes(sounds: Sounds) -> list[str]:
    """Say what the page has changed about the audio."""
    notes = []
    if sounds.gain < -0.05:
        notes.append(
            f"All signals of this item are played {-sounds.gain:.1f} dB lower, alike: "
            "one of them exceeds full scale."
        )
    if sounds.whole > sounds.seconds + 0.05:
        shown, whole = seconds_text(sounds.seconds), seconds_text(sounds.whole)
        notes.append(f"The first {shown} of {whole}.")
    return notes


def _scores(run: Run, name: str) -> Html:
    scores: Mapping[str, Any] = run.rows.get(name, {}).get("scores", {})
    order = sorted(scores, key=lambda x: x != run.metric)
    cells = [_score(metric, item_means(scores[metric])) for metric in order]
    return tag("dl", *cells, class_="scores") if cells else Html("")


def _score(metric: str, means: Mapping[str, float]) -> Html:
    before, after = means.get("unprocessed"), means.get("enhanced")
    better = gain_text(metric, before, after)
    values = tag(
        "dd",
        score_text(metric, before),
        tag("span", " → ", class_="arrow"),
        tag("b", score_text(metric, after)),
        tag("span", better, class_=gain_class(metric, before, after)),
    )
    return tag("div", tag("dt", metric_text(metric)), values)


def _player(run: Run, sounds: Sounds, name: str) -> Html:
    natives = [
        tag(
            "figure",
            tag("figcaption", sound.title),
            tag("audio", controls=True, preload="none", src=sound.audio),
        )
        for sound in sounds.sounds
    ]
    return tag(
        "div",
        _bar(sounds),
        _pictures(run, sounds),
        tag("div", *natives, class_="natives"),
        class_="player",
        role="group",
        aria_label=f"Player of {name}",
        data_seconds=f"{sounds.seconds:.3f}",
    )


def _bar(sounds: Sounds) -> Html:
    """Make the controls, which the page's script shows."""
    buttons = [_button(x.title, number) for number, x in enumerate(sounds.sounds, 1)]
    slider = tag(
        "input",
        type="range",
        min=0,
        max=f"{sounds.seconds:.3f}",
        step=0.01,
        value=0,
        aria_label="Position",
        aria_valuetext=f"0.0 of {sounds.seconds:.1f} seconds",
    )
    time = tag("span", f"0.0 / {seconds_text(sounds.seconds)}", class_="time")
    return tag(
        "div",
        tag("button", _icon(), type="button", class_="play", aria_label="Play"),
        tag("div", *buttons, class_="signals", role="group", aria_label="Signal"),
        tag("div", slider, time, class_="seek"),
        class_="bar",
        hidden=True,
    )


def _button(title: str, number: int) -> Html:
    known = f"{number}" if number <= KEYS else None
    return tag(
        "button",
        *([tag("kbd", known, aria_hidden="true")] if known else []),
        tag("span", title),
        type="button",
        aria_pressed="true" if number == 1 else "false",
        aria_keyshortcuts=known,
    )


def _icon() -> Html:
    shapes = {
        "when-paused": "M7 4l13 8-13 8z",
        "when-playing": "M6 4h4v16H6zM14 4h4v16h-4z",
    }
    paths = [tag("path", d=shape, class_=state) for state, shape in shapes.items()]
    return tag("svg", *paths, viewBox="0 0 24 24", aria_hidden="true")


def _pictures(run: Run, sounds: Sounds) -> Html:
    count = max(len(sound.pictures) for sound in sounds.sounds)
    names = channel_names(run.table.channels, count)
    heads = [tag("span", name, class_="channel") for name in names if count > 1]
    rows = [
        tag(
            "div",
            tag("span", sound.title, class_="signal"),
            *(
                _panel(sound, sounds, channel, names[channel])
                for channel in range(len(sound.pictures))
            ),
            class_="signal-row current" if number == 0 else "signal-row",
        )
        for number, sound in enumerate(sounds.sounds)
    ]
    titles = (
        [tag("div", *heads, class_="channels", aria_hidden="true")] if heads else []
    )
    times = [tag("div", *_times(sounds.seconds), class_="times") for _ in range(count)]
    axis = tag("div", *times, class_="time-row", aria_hidden="true")
    return tag("div", *titles, *rows, axis, class_="pictures", data_channels=count)


def channel_names(known: Sequence[str], count: int) -> list[str]:
    """Name the channels of a signal.

    Example
    -------
    >>> channel_names(["left", "right"], 2), channel_names(["left", "right"], 1)
    (['left ear', 'right ear'], [''])
    """
    if count < 2:
        return [""] * count
    names = known if len(known) == count else [f"channel {n + 1}" for n in range(count)]
    return [f"{x} ear" if x in ("left", "right") else x for x in names]


def _panel(sound: Sound, sounds: Sounds, channel: int, name: str) -> Html:
    what = f"Spectrogram of {sound.title}{', ' if name else ''}{name}"
    highest = sounds.rate / 2000
    return tag(
        "div",
        tag("img", src=sound.pictures[channel], alt=what),
        tag("i", class_="head"),
        *(
            tag("span", text, class_=f"hertz {side}", aria_hidden="true")
            for side, text in (("top", f"{highest:g} kHz"), ("bottom", "0"))
        ),
        class_="panel",
        title=name or None,
    )


def _times(seconds: float) -> list[Html]:
    marks = [x for x in ticks(0, seconds) if x <= seconds]
    return [
        tag(
            "span",
            f"{x:g} s" if x == marks[-1] else f"{x:g}",
            style=f"left:{x / seconds:.2%}",
            # or it would run into the next ear's
            class_="end" if x > 0.9 * seconds else None,
        )
        for x in marks
    ]
