"""Audio and spectrograms of kept items, as they go into the page."""

import base64
import io
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from speechbrain_fusion.report.figures import RANGE, TITLES, decibels
from speechbrain_fusion.report.page_png import LEVELS, palette, pooled, write_png
from speechbrain_fusion.report.page_run import GROUPS, Kept
from speechbrain_fusion.report.page_text import name_text

# What an item and all items together may take.
SECONDS = 12.0
CHARACTERS = 12_000_000
NUMBERED = re.compile(r"(enhanced|target)_(\d+)")
KINDS = {"enhanced": "estimate", "target": "talker"}
# Below, a spectrogram is dark wherever the loudest cell is.
SILENT = -85.0
PEAK = 32767 / 32768


@dataclass(frozen=True)
class Sound:
    """A signal to listen to: its name, its audio, and a spectrogram per channel."""

    title: str
    audio: str
    pictures: Sequence[str]

    def characters(self) -> int:
        """Say how much of the page it takes."""
        return len(self.audio) + sum(map(len, self.pictures))


@dataclass(frozen=True)
class Sounds:
    """The signals of an item in step, and what was done to them.

    Arguments
    ---------
    item : Kept
        Of which item.
    sounds : list of Sound
        In the order in which they are compared.
    rate : int
        Sample rate in Hz.
    seconds, whole : float
        How much is here, and how long the item is.
    gain : float
        By which all are changed alike, in dB, so that nothing clips; 0 or less.
    notes : list of str
        What could not be read.
    """

    item: Kept
    sounds: Sequence[Sound]
    rate: int
    seconds: float
    whole: float
    gain: float
    notes: Sequence[str]

    def characters(self) -> int:
        """Say how much of the page it takes."""
        return sum(sound.characters() for sound in self.sounds)


def titles(names: Sequence[str]) -> dict[str, str]:
    """Bring signals into the order in which they are compared, with a title each.

    Arguments
    ---------
    names : sequence of str
        As in the files' names.

    Returns
    -------
    dict of str to str
        Title by name: what came in, what comes out and what it should be, and what
        else there is.

    Example
    -------
    >>> list(titles(["enhanced", "irm", "mixture", "target"]).values())
    ['noisy', 'enhanced', 'clean', 'IRM']
    >>> list(titles(["clean", "target_1", "enhanced_1", "mixture"]).values())
    ['noisy', 'estimate 1', 'talker 1', 'without noise']
    """
    return {name: _title(name) for name in sorted(names, key=_order)}


def _title(name: str) -> str:
    if found := NUMBERED.fullmatch(name):
        return f"{KINDS[found[1]]} {found[2]}"
    known = {**TITLES, "clean": "without noise"}
    return known.get(name, name_text(name))


def _order(name: str) -> tuple[int, int, int]:
    if found := NUMBERED.fullmatch(name):
        return 1, int(found[2]), [*KINDS].index(found[1])
    first = {"mixture": 0, "enhanced": 1, "target": 2, "clean": 3}
    return first.get(name, 4), 0, 0


def in_turn(items: Sequence[Kept]) -> list[Kept]:
    """Order items so that a page that is full soon has some of each group.

    Example
    -------
    >>> items = [Kept(x, [why], {}) for x, why in zip("abc", GROUPS, strict=True)]
    >>> [item.id for item in in_turn([*items, Kept("d", ["worst"], {})])]
    ['a', 'b', 'c', 'd']
    """
    places: dict[str, int] = dict.fromkeys(GROUPS, 0)
    order = []
    for item in items:
        group = group_of(item)
        order.append((places[group], GROUPS.index(group), item))
        places[group] += 1
    return [item for *_, item in sorted(order, key=lambda x: x[:2])]


def group_of(item: Kept) -> str:
    """Say under which heading an item is shown.

    Example
    -------
    >>> group_of(Kept("a", ["first", "best"], {}))
    'best'
    """
    return next((name for name in GROUPS if name in item.why), GROUPS[-1])


def load_sounds(
    items: Sequence[Kept], room: int = CHARACTERS, seconds: float = SECONDS
) -> tuple[list[Sounds], list[str]]:
    """Load what fits into the page.

    Arguments
    ---------
    items : sequence of Kept
        What there is.
    room : int
        Characters of the page, for all together.
    seconds : float
        Of each, from its beginning.

    Returns
    -------
    sounds : list of Sounds
        By group, in the order of the items.
    left_out : list of str
        Names of the items for which there was no room.
    """
    loaded, left_out = {}, []
    for item in in_turn(items):
        sounds = load_item(item, seconds)
        if sounds.characters() > room:
            left_out.append(item.id)
            continue
        room -= sounds.characters()
        loaded[item.id] = sounds
    order = sorted(items, key=lambda item: GROUPS.index(group_of(item)))
    return [loaded[item.id] for item in order if item.id in loaded], left_out


def load_item(item: Kept, seconds: float = SECONDS) -> Sounds:
    """Load the signals of an item, up to so many seconds.

    Levels stay as they are, unless a signal exceeds full scale: then all are lowered
    alike. A file that cannot be read becomes a note.
    """
    signals: dict[str, np.ndarray] = {}
    notes, rate, whole = [], 0, 0.0
    for name, title in titles([*item.files]).items():
        try:
            signal, rate, frames = _read(item.files[name], seconds)
        except (OSError, RuntimeError, ValueError) as error:
            notes.append(f"{title}: not readable ({_reason(error)})")
            continue
        if not np.isfinite(signal).all():
            notes.append(f"{title}: not finite everywhere, silent there")
        signals[title], whole = np.nan_to_num(signal, posinf=0, neginf=0), frames / rate
    longest = max((len(x) for x in signals.values()), default=0)
    padded = {
        title: np.pad(x, ((0, longest - len(x)), (0, 0)))
        for title, x in signals.items()
    }
    peak = max((float(np.abs(x).max(initial=0)) for x in padded.values()), default=0.0)
    factor = PEAK / max(peak, PEAK)
    sounds = [*_encode(padded, rate, factor)]
    shown = longest / rate if rate else 0.0
    gain = 20 * math.log10(factor)
    return Sounds(item, sounds, rate, shown, max(whole, shown), gain, notes)


def _read(path: Path, seconds: float) -> tuple[np.ndarray, int, int]:
    # as bytes: a name may be none of text
    with soundfile.SoundFile(os.fsencode(path)) as file:
        if not file.frames:
            raise ValueError("empty")
        count = math.ceil(seconds * file.samplerate)
        signal = file.read(count, dtype="float32", always_2d=True)
        return signal, file.samplerate, file.frames


def _reason(error: Exception) -> str:
    """Say what is wrong with a file, without the folder that it is in."""
    return "no such file" if "No such file" in f"{error}" else type(error).__name__


def _encode(
    signals: Mapping[str, np.ndarray], rate: int, factor: float
) -> Iterator[Sound]:
    """Encode signals [time, channels], their spectrograms on one scale of colours."""
    powers = {title: _powers(x, rate) for title, x in signals.items()}
    every = [x.max() for each in powers.values() for x in each]
    loudest = max([SILENT, *(10 * np.log10(every))])
    for title, signal in signals.items():
        pictures = [data_uri("image/png", _picture(x, loudest)) for x in powers[title]]
        flac = encode_flac(signal * factor, rate)
        yield Sound(title, data_uri("audio/flac", flac), pictures)


def _powers(signal: np.ndarray, rate: int) -> list[np.ndarray]:
    levels = (decibels(torch.from_numpy(x.copy()), rate) for x in signal.T)
    return [pooled(10.0 ** (level / 10)) for level in levels]


def _picture(power: np.ndarray, loudest: float) -> bytes:
    depth = (10 * np.log10(power) - loudest) / RANGE + 1
    levels = (np.clip(depth, 0, 1) * (LEVELS - 1)).round()
    return write_png(levels[::-1], palette())


def encode_flac(signal: np.ndarray, rate: int) -> bytes:
    """Encode a signal with 16 bits, which every browser plays.

    Arguments
    ---------
    signal : np.ndarray
        [time, channels], at most 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    bytes
        A FLAC file.

    Example
    -------
    >>> encode_flac(np.zeros((8, 1)), 8000)[:4]
    b'fLaC'
    """
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """Put a file into an address, so that none has to be fetched.

    Example
    -------
    >>> data_uri("image/png", b"ab")
    'data:image/png;base64,YWI='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
