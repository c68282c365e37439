"""The page in a real browser: Debian's Chromium, without a screen.

With the variable SBF_SCREENSHOTS set, pictures of the page go to that folder.
"""

import json
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest

from speechbrain_fusion.report.page import write_page
from tests.report.browser_scripts import CONTRAST, SWITCHES, WIDE
from tests.report.runs import RISE, SECONDS, SIGNALS, START, chirp, write_run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
ClientConfig = pytest.importorskip(
    "selenium.webdriver.remote.client_config"
).ClientConfig
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no Chromium: apt-get install chromium chromium-driver",
    ),
]
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-software-rasterizer",
    "--disable-extensions",
    # a page that still moves is neither here nor there
    "--disable-smooth-scrolling",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--no-first-run",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
)
# Seconds until what is waited for must be there, also on a busy machine.
PATIENCE = 300
PLAYER = "document.querySelector('.player').player"


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    service = webdriver.ChromeService(executable_path=DRIVER)
    # a busy machine takes longer to start a browser than Selenium waits
    module = "selenium.webdriver.chromium.remote_connection.ClientConfig"
    with mock.patch(module, lambda **x: ClientConfig(**{**x, "timeout": PATIENCE})):
        driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("run") / "fusion of two ears")
    return write_page(run).as_uri()


@pytest.fixture
def page(browser, address):
    """The page as it is when it is opened, wide and light."""
    emulate(browser, 1280, 900, "light")
    browser.get(address)
    return browser


def emulate(browser, width, height, scheme, media=""):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    given = {"media": media, "features": features}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", given)


def wait_for(page, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    ask = WebDriverWait(page, PATIENCE, poll_frequency=0.05)
    return ask.until(lambda x: x.execute_script(f"return {condition}"), condition)


def ask(page, expression):
    return page.execute_script(f"return {expression}")


def find(page, selector):
    return page.find_elements("css selector", selector)


def press(page, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def play(page, signal=0):
    page.execute_script(f"{PLAYER}.choose({signal})")
    find(page, ".play")[0].click()
    wait_for(page, f"{PLAYER}.state === 'playing' && {PLAYER}.position > 0.1")


# -- from disk ---------------------------------------------------------------------


def test_it_loads_from_disk_without_errors_and_requests(page, address):
    page.get_log("browser")
    page.get_log("performance")
    page.get(address)
    play(page)
    press(page, "2", " ")
    assert page.get_log("browser") == []
    messages = [
        json.loads(x["message"])["message"] for x in page.get_log("performance")
    ]
    asked = {
        x["params"]["request"]["url"]
        for x in messages
        if x["method"] == "Network.requestWillBeSent"
    }
    assert {x for x in asked if not x.startswith("data:")} == {address}


def test_its_policy_is_enforced(page):
    page.get_log("browser")
    refused = page.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation',"
        " (e) => done(e.effectiveDirective), {once: true});"
        "document.body.append(Object.assign(document.createElement('img'),"
        " {src: 'file:///nothing.png'}));"
    )
    assert refused == "img-src"
    page.get_log("browser")


# -- playing -----------------------------------------------------------------------


def test_a_player_plays_pauses_and_comes_to_its_end(page):
    play(page)
    (button, *_) = find(page, ".play")
    assert button.get_attribute("aria-label") == "Pause"
    first = ask(page, f"{PLAYER}.position")
    wait_for(page, f"{PLAYER}.position > {first} + 0.3")
    slider = find(page, "input[type=range]")[0]
    wait_for(page, "Number(document.querySelector('input').value) > 0.3")
    assert " of 3.0 seconds" in slider.get_attribute("aria-valuetext")
    button.click()
    assert button.get_attribute("aria-label") == "Play"
    place = ask(page, f"{PLAYER}.position")
    assert first < place < SECONDS
    assert ask(page, f"{PLAYER}.position") == place
    page.execute_script(f"{PLAYER}.seek({SECONDS} - 0.2)")
    button.click()
    wait_for(page, f"{PLAYER}.state === 'paused' && {PLAYER}.position === 0")


def test_switching_keeps_the_position_and_changes_what_is_heard(page):
    numbers = [1, 2, 0, 2, 1, 0]
    bands = [(START[kind], START[kind] + RISE * SECONDS) for kind in SIGNALS]
    found = page.execute_async_script(SWITCHES, numbers, bands)
    for number, (same, moved, tone, position, _) in zip(numbers, found, strict=True):
        assert same
        assert 0 <= moved < 0.1
        # what is heard is where the player says it is
        heard = (tone - START[SIGNALS[number]]) / RISE
        assert heard == pytest.approx(position, abs=0.05)
        pressed = page.execute_script(
            f"{PLAYER}.choose({number});"
            "return [...document.querySelectorAll('.signals [aria-pressed=true]')]"
            ".map((x) => [...x.parentElement.children].indexOf(x))"
        )
        assert pressed[0] == number


def test_only_one_player_plays(page):
    play(page)
    find(page, ".play")[1].click()
    second = PLAYER.replace(
        "querySelector('.player')", "querySelectorAll('.player')[1]"
    )
    wait_for(page, f"{second}.state === 'playing' && {PLAYER}.state === 'paused'")


def test_a_click_into_a_spectrogram_goes_there_and_listens_to_it(page):
    from selenium.webdriver import ActionChains

    panel = find(page, ".signal-row:nth-of-type(3) .panel")[0]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)
    quarter = -panel.size["width"] / 4
    ActionChains(page).move_to_element_with_offset(panel, quarter, 0).click().perform()
    assert ask(page, f"{PLAYER}.position") == pytest.approx(SECONDS / 4, abs=0.02)
    row = ask(page, "document.querySelector('.signal-row.current .signal').textContent")
    pressed = find(page, ".signals [aria-pressed=true] span")[0]
    assert row == pressed.text != "noisy"
    head = ask(page, "document.querySelector('.head').offsetLeft")
    width = ask(page, "document.querySelector('.panel').offsetWidth")
    assert head == pytest.approx(width / 4, abs=2)


def test_without_a_decoder_the_browsers_own_players_are_there(page):
    page.execute_script(
        "AudioContext.prototype.decodeAudioData = () => Promise.reject()"
    )
    find(page, ".play")[0].click()
    wait_for(page, "!document.querySelector('.natives').hidden")
    (audio, *_) = find(page, "audio")
    assert audio.is_displayed()
    page.execute_script("arguments[0].play()", audio)
    wait_for(page, "document.querySelector('audio').currentTime > 0.1")
    assert ask(page, "document.querySelector('audio').duration") == pytest.approx(
        SECONDS
    )


# -- keyboard ----------------------------------------------------------------------


def focused(page):
    return page.switch_to.active_element


def test_tab_goes_through_a_player_in_order_and_shows_where_it_is(page):
    page.execute_script("document.querySelector('.play').focus()")
    names = []
    for _ in range(5):
        element = focused(page)
        names.append(element.accessible_name)
        press(page, "\ue004")
        style = ask(page, "getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"
    assert names == ["Play", "noisy", "enhanced", "clean", "Position"]


def test_the_keyboard_plays_switches_and_seeks(page):
    page.execute_script("document.querySelector('.play').focus()")
    press(page, "3")
    assert ask(page, f"{PLAYER}.chosen") == 2
    press(page, "\ue013")  # up
    assert ask(page, f"{PLAYER}.chosen") == 1
    press(page, "\ue015", "\ue015")  # down, around
    assert ask(page, f"{PLAYER}.chosen") == 0
    press(page, "\ue014", "\ue014", "\ue012")  # right, right, left
    assert ask(page, f"{PLAYER}.position") == pytest.approx(0.5)
    press(page, "9")
    assert ask(page, f"{PLAYER}.chosen") == 0
    press(page, " ")
    wait_for(page, f"{PLAYER}.state === 'playing' && {PLAYER}.position > 0.6")
    press(page, " ")
    assert ask(page, f"{PLAYER}.state") == "paused"


def test_space_on_a_signal_chooses_it_and_then_plays(page):
    page.execute_script("document.querySelectorAll('.signals button')[1].focus()")
    press(page, " ")
    assert ask(page, f"{PLAYER}.chosen") == 1
    assert ask(page, f"{PLAYER}.state") == "paused"
    press(page, " ")
    wait_for(page, f"{PLAYER}.state === 'playing'")
    assert ask(page, f"{PLAYER}.chosen") == 1


def test_keys_go_to_the_last_player_and_elsewhere_do_what_they_do(page):
    press(page, " ")
    wait_for(page, "scrollY > 0")
    assert all(x.get_attribute("data-state") == "paused" for x in find(page, ".player"))
    page.execute_script("scrollTo(0, 0); document.querySelectorAll('.play')[1].click()")
    second = PLAYER.replace(
        "querySelector('.player')", "querySelectorAll('.player')[1]"
    )
    wait_for(page, f"{second}.state === 'playing'")
    page.execute_script("document.activeElement.blur()")
    press(page, "2", " ")
    assert ask(page, f"[{second}.chosen, {second}.state]") == [1, "paused"]
    assert ask(page, "scrollY") == 0
    page.execute_script("document.querySelector('summary').focus()")
    press(page, " ")
    assert ask(page, "document.querySelector('details').open")
    assert ask(page, f"{second}.state") == "paused"


def test_a_metric_is_chosen_for_all_conditions(page):
    from selenium.webdriver.support.ui import Select

    Select(find(page, "#metric")[0]).select_by_value("ild_error")
    shown = [x for x in find(page, "[data-metric]") if x.is_displayed()]
    assert [x.get_attribute("data-metric") for x in shown] == ["ild_error"]


# -- looks -------------------------------------------------------------------------


def assert_fits(page, width):
    assert ask(page, "innerWidth") == width
    assert page.execute_script(WIDE) == []
    assert ask(page, "document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 1920])
def test_nothing_is_wider_than_the_page(page, width):
    emulate(page, width, 800, "light")
    assert_fits(page, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_text_has_contrast(page, scheme, width):
    emulate(page, width, 800, scheme)
    page.execute_script(
        "for (const x of document.querySelectorAll('details')) x.open = true"
    )
    found = page.execute_script(CONTRAST)
    assert len(found) > 100
    assert [x for x in found if x[0] < 4.5] == []


def test_dark_is_dark(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    light = ask(page, colour)
    emulate(page, 1280, 900, "dark")
    dark = ask(page, colour)
    sums = [sum(map(int, x[4:-1].split(","))) for x in (light, dark)]
    assert sums[0] > 700
    assert sums[1] < 100


def test_buttons_are_large_enough_for_a_finger(page):
    emulate(page, 360, 800, "light")
    for button in find(page, ".bar button"):
        assert min(button.size["width"], button.size["height"]) >= 40


def test_on_paper_there_are_pictures_and_no_controls(page):
    emulate(page, 1000, 900, "dark", media="print")
    assert not any(x.is_displayed() for x in find(page, ".bar, nav, .natives"))
    assert all(x.is_displayed() for x in find(page, ".panel"))
    assert (
        ask(page, "getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )


def test_pictures_of_it_are_taken(page, tmp_path):
    folder = Path(os.environ.get("SBF_SCREENSHOTS") or tmp_path)
    for name, width in {"narrow": 360, "wide": 1280}.items():
        for scheme in ("light", "dark"):
            emulate(page, width, 900, scheme)
            page.execute_script(f"{PLAYER}.choose(1); {PLAYER}.seek(1.25)")
            take(page, folder / f"{name}_{scheme}.png", width)
            assert (folder / f"{name}_{scheme}.png").stat().st_size > 20000


def take(page, path, width):
    """Take a picture of the whole page."""
    import base64

    height = ask(page, "document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    given = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    found = page.execute_cdp_cmd("Page.captureScreenshot", given)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(found["data"]))


def test_many_signals_of_one_channel_fit_a_telephone(page, tmp_path):
    names = (
        "mixture",
        "clean",
        *(f"{k}_{n}" for k in ("target", "enhanced") for n in (1, 2, 3)),
    )
    tone = chirp(SIGNALS[0], 1)
    kept = {"a_very_long_name_of_an_item_" * 4: ["first"]}
    run = write_run(tmp_path / "run", kept, dict.fromkeys(names, tone))
    page.get(write_page(run).as_uri())
    emulate(page, 360, 800, "light")
    assert_fits(page, 360)
    assert len(find(page, ".signals button")) == 8
