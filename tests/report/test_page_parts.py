"""Figures, pictures, names and numbers of the page."""

import base64
import io
import math
import re

import matplotlib.image
import numpy as np
import pytest
import soundfile
import torch

from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.report.figures import RANGE, decibels
from speechbrain_fusion.report.page import write_page
from speechbrain_fusion.report.page_audio import (
    Kept,
    encode_flac,
    in_turn,
    load_item,
    titles,
)
from speechbrain_fusion.report.page_charts import (
    HEIGHT,
    WIDTH,
    Line,
    Row,
    around,
    line_chart,
    row_chart,
    tick_text,
    ticks,
)
from speechbrain_fusion.report.page_conditions import binned, condition_figure, drawable
from speechbrain_fusion.report.page_curves import best_epoch, panels
from speechbrain_fusion.report.page_html import Html, join, tag
from speechbrain_fusion.report.page_png import LEVELS, palette, pooled, write_png
from speechbrain_fusion.report.page_run import read_run
from speechbrain_fusion.report.page_sections import versions
from speechbrain_fusion.report.page_text import (
    MISSING,
    score_text,
    without_machine,
)
from speechbrain_fusion.report.run import write_report
from tests.report.reader import MINUS
from tests.report.runs import NOISES, RATE, START, chirp

# -- HTML --------------------------------------------------------------------------


def test_what_was_made_here_is_not_escaped_again():
    inner = tag("b", "<&>")
    assert tag("p", inner) == "<p><b>&lt;&amp;&gt;</b></p>"
    assert join([inner, "&"]) == "<b>&lt;&amp;&gt;</b>&amp;"


def test_attributes_are_quoted():
    found = tag("a", title='" onclick="x', data_a="<b>", hidden=False, open=True)
    assert found == '<a title="&quot; onclick=&quot;x" data-a="&lt;b&gt;" open></a>'


def test_text_that_is_put_together_is_escaped_again():
    assert not isinstance(tag("b", "x") + "<i>", Html)
    assert "&lt;i&gt;" in tag("p", tag("b", "x") + "<i>")


# -- charts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-3.2, 7.9), (1e-5, 3e-5), (0, 123456), (-1, -0.99), (1e-15, 3e-14)],
)
def test_ticks_are_round_inside_and_evenly_apart(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert low <= found[0] < found[-1] <= high
    steps = np.diff(found)
    assert steps == pytest.approx([steps[0]] * len(steps))
    mantissa = f"{steps[0]:.3e}"[:5]
    assert mantissa in ("1.000", "2.000", "5.000")


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [-1.0, 5.0]])
def test_there_is_room_around_values(values):
    low, high = around(values)
    assert low < min(values) <= max(values) < high


def coordinates(chart, name):
    return [float(x) for x in re.findall(rf'<circle[^>]* {name}="([-\d.]+)"', chart)]


def test_points_are_inside_and_in_order():
    points = [(float(x), float(x * x)) for x in range(1, 9)]
    chart = line_chart([Line("loss", "a", points)], "loss", "epoch", whole=True)
    across, up = coordinates(chart, "cx"), coordinates(chart, "cy")
    assert across == sorted(across)
    assert up == sorted(up, reverse=True)
    assert min(across) > 0
    assert max(across) < WIDTH
    assert min(up) > 0
    assert max(up) < HEIGHT


@pytest.mark.parametrize("points", [[(1, 2.0)], [(1, 0.0), (2, 0.0)], [(1, -1e-9)]])
def test_few_points_are_drawn(points):
    chart = line_chart([Line("loss", "a", points)], "loss", "epoch", whole=True)
    assert chart.count("<circle") == len(points)


def test_what_is_not_finite_is_not_drawn():
    points = [(1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0)]
    chart = line_chart([Line("loss", "a", points)], "loss", "epoch")
    assert chart.count("<circle") == 2
    assert "nan" not in chart
    assert "inf" not in chart
    rows = [Row("a", 2, {"x": math.nan, "y": 1.0}, {"y": [math.nan, 2.0]})]
    assert row_chart(rows, "by name", "dB").count("<circle") == 2


def test_where_no_score_is_common_there_is_no_figure(tmp_path):
    """Of many items none is drawn by itself."""
    table, items = MetricTable(()), 700
    conditions = [{"noise": NOISES[n % 3]} for n in range(items)]
    for system, value in (("unprocessed", math.nan), ("enhanced", 1.0)):
        scores = {"si_sdr": torch.full((items,), value)}
        table.add(system, [f"{n}" for n in range(items)], conditions, scores)
    write_report(tmp_path, table, [], None, RATE)
    run = read_run(tmp_path)
    assert condition_figure(run, "si_sdr", "noise", "names") is None
    assert "si_sdr" in write_page(tmp_path).read_text()


def test_epochs_are_whole():
    points = [(float(x), 1.0) for x in range(1, 101)]
    chart = line_chart([Line("loss", "a", points)], "loss", "epoch", whole=True)
    texts = re.findall(r'class="middle">([^<]+)<', chart)
    assert texts[0] == "1"
    assert texts[-1] == "100"
    assert all(x.isdigit() for x in texts)


# -- curves and conditions ---------------------------------------------------------


def test_gradients_and_terms_have_panels_of_their_own():
    epoch = {
        "epoch": 1,
        "train_loss": 1.0,
        "train_conflict_noise": 0.5,
        "train_conflict_latent": 0.5,
        "train_noise": 2.0,
        "valid_loss": 1.0,
        "valid_noise": 2.0,
        "lr": 0.1,
    }
    found = {x.title: [*x.curves.values()] for x in panels([epoch], [])}
    assert found == {
        "loss": ["train_loss", "valid_loss"],
        "noise loss": ["train_noise", "valid_noise"],
        "rate of conflicts with the main gradient": [
            "train_conflict_noise",
            "train_conflict_latent",
        ],
        "learning rate": ["lr"],
    }


def test_of_losses_the_lowest_is_the_best():
    history = [
        {"epoch": n, "valid_loss": x} for n, x in ((1, 3.0), (2, 1.0), (3, None))
    ]
    assert best_epoch(history, "loss") == 2
    assert best_epoch(history, "pesq") is None
    assert best_epoch([], None) is None


def test_an_epoch_that_is_silent_on_some_items_is_not_the_best():
    """What decided counts, not the mean of what could be scored."""
    history = [
        {"epoch": 1, "valid_snr": 3.0, "chosen": 3.0},
        {"epoch": 2, "valid_snr": 8.0, "chosen": 8.0 - 1000.0},
    ]
    assert best_epoch(history, "snr") == 1
    assert best_epoch([{**x, "chosen": -x["chosen"]} for x in history], "loss") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (9999.0, "9999"),
        (-15000.0, f"{MINUS}15k"),
        (5e11, "5e11"),
        (1e-14, f"1e{MINUS}14"),
    ],
)
def test_values_at_an_axis_are_short(value, text):
    assert tick_text(value) == text


def test_names_that_are_others_for_most_items_are_not_drawn():
    assert drawable([f"t{n}" for n in range(10)]) == ""
    assert drawable([f"t{n % 3}" for n in range(10)]) == "names"
    assert drawable([f"t{n % 30}" for n in range(1000)]) == ""
    assert drawable([float(n) for n in range(5)]) == "numbers"


def test_groups_of_neighbours_have_all_points():
    points = [(float(n), 2.0 * n) for n in range(20)]
    found = binned(points, levels=False)
    assert len(found) == 6
    assert all(y == pytest.approx(2 * x) for x, y in found)
    assert found == sorted(found)
    assert binned(points[:1], levels=False) == points[:1]


# -- spectrograms ------------------------------------------------------------------


def test_colours_get_lighter_from_silence_to_the_loudest():
    colours = palette().astype(float)
    assert colours.shape == (LEVELS, 3)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] < 20
    assert lightness[-1] > 230


def test_a_picture_has_the_colours_of_its_levels():
    levels = np.random.default_rng(0).integers(0, LEVELS, (7, 11)).astype(np.uint8)
    image = matplotlib.image.imread(io.BytesIO(write_png(levels, palette())))
    found = (image[..., :3] * 255).round().astype(int)
    assert (found == palette()[levels]).all()


def test_pooling_keeps_the_mean_where_parts_are_equal():
    power = np.random.default_rng(0).random((256, 1280))
    small = pooled(power)
    assert small.shape == (128, 640)
    assert small.mean() == pytest.approx(power.mean())
    assert pooled(np.ones((200, 1000))).tolist() == np.ones((128, 640)).tolist()


def test_a_tone_is_where_it_sounds_and_signals_share_their_colours(tmp_path):
    for kind in ("mixture", "target"):
        level = {"mixture": 0.4, "target": 0.04}[kind]
        signal = chirp(kind, 1, level=level)
        soundfile.write(tmp_path / f"a_{kind}.wav", signal.T, RATE, subtype="FLOAT")
    files = {kind: tmp_path / f"a_{kind}.wav" for kind in ("mixture", "target")}
    sounds = load_item(Kept("a", ["first"], files)).sounds
    assert [sound.title for sound in sounds] == ["noisy", "clean"]
    tops = []
    for sound, kind in zip(sounds, files, strict=True):
        data = sound.pictures[0].partition(",")[2]
        image = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        light = image[..., :3] @ [0.2126, 0.7152, 0.0722]
        # the first row is the highest frequency
        first = (light.shape[0] - 1 - light[:, 5].argmax()) / light.shape[0] * RATE / 2
        assert first == pytest.approx(START[kind], abs=100)
        tops.append(light.max())
    # a tenth of the amplitude is 20 of 70 dB darker
    shades = palette() @ np.array([0.2126, 0.7152, 0.0722]) / 255
    expected = shades[round((LEVELS - 1) * (1 - 20 / RANGE))]
    assert tops[0] == pytest.approx(shades[-1], abs=0.02)
    assert tops[1] == pytest.approx(expected, abs=0.05)


def test_silence_is_dark(tmp_path):
    soundfile.write(tmp_path / "a_mixture.wav", np.zeros(4000), RATE)
    item = Kept("a", ["first"], {"mixture": tmp_path / "a_mixture.wav"})
    (sound,) = load_item(item).sounds
    data = base64.b64decode(sound.pictures[0].partition(",")[2])
    assert matplotlib.image.imread(io.BytesIO(data))[..., :3].max() < 0.15


def test_decibels_are_of_what_is_finite():
    signal = torch.zeros(4000)
    signal[100] = math.nan
    assert (decibels(signal, 8000) == -160).all()


# -- audio -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_audio_is_coded_to_16_bits(rate, channels):
    signal = np.random.default_rng(0).uniform(-1, 1, (300, channels)) * 32767 / 32768
    found, known = soundfile.read(io.BytesIO(encode_flac(signal, rate)), always_2d=True)
    assert known == rate
    assert np.abs(found - signal).max() <= 1 / 32768


def test_the_shorter_signal_is_silent_at_its_end(tmp_path):
    for kind, samples in {"mixture": 800, "enhanced": 500}.items():
        soundfile.write(tmp_path / f"a_{kind}.wav", np.full(samples, 0.5), RATE)
    files = {kind: tmp_path / f"a_{kind}.wav" for kind in ("mixture", "enhanced")}
    found = load_item(Kept("a", ["first"], files))
    assert found.seconds == 800 / RATE
    assert found.gain == 0


def test_signals_are_compared_in_an_order_that_makes_sense():
    names = [
        "target_2",
        "clean",
        "enhanced_10",
        "mixture",
        "wiener_filter",
        "enhanced_2",
    ]
    found = [*titles(names).values()]
    known = ["noisy", "estimate 2", "talker 2", "estimate 10", "without noise"]
    assert found == [*known, "wiener filter"]


def test_each_group_has_its_turn():
    items = [Kept(f"f{n}", ["first"], {}) for n in range(3)]
    items += [Kept("w", ["worst"], {}), Kept("b", ["best", "first"], {})]
    assert [x.id for x in in_turn(items)] == ["w", "b", "f0", "f1", "f2"]


# -- names and numbers -------------------------------------------------------------


def test_numbers_have_as_many_decimals_as_tell_something():
    assert score_text("itd_error", -0.04, sign=True) == "0.0"
    assert score_text("snr", -12.345, sign=True) == f"{MINUS}12.35"
    assert score_text("stoi", 0.98765) == "0.988"
    assert score_text("pesq", math.inf) == score_text("pesq", math.nan) == MISSING


def test_paths_lose_what_is_of_one_machine():
    text = (
        "a: /srv/me/data/x.wav, b: '/srv/me/project/results/' "
        "c @ file:///tmp/w/p-1.whl#sha256=ab"
    )
    found = without_machine(text)
    for part in ("/home", "me/", "/tmp"):
        assert part not in found
    assert "…/data/x.wav" in found
    assert "…/project/results" in found
    assert without_machine("'/srv/jane doe/study 7/x/y'") == "'…/x/y'"
    assert without_machine("/srv/a/b/c:/srv/d/e/f") == "…/b/c:…/e/f"
    assert without_machine("-I/srv/me/a/b") == "-I…/a/b"
    for kept in ("recipes/timit/train.py", "1/2", "https://a.org/b/c/d", "<a>/b", "/"):
        assert without_machine(kept) == kept


def test_versions_are_found_in_an_editable_installation():
    text = "# Editable install with no remote (speechbrain-fusion==0.1.0)\n-e /a/b\n"
    assert versions(text) == {"speechbrain-fusion": "0.1.0"}
    assert versions("") == {}
