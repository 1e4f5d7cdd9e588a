"""The page in a real browser: headless Chromium, driven by its own keys and mouse.

Skipped where there is no Chromium; on CI it is there, and nothing is skipped.
"""

import html
import importlib.util
import os
import statistics
from shutil import which

import numpy as np
import pytest
from conftest import need

import viz.page
from tinygrad_edu import Tensor
from viz.explain import explain

if not importlib.util.find_spec("selenium") and not os.environ.get("CI"):
    pytest.skip("needs selenium: pip install 'selenium>=4.20'", allow_module_level=True)

from selenium import webdriver  # after the skip: it is no part of what the tests need everywhere
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --force-device-scale-factor=1 "
    "--window-size=1280,800"
)
PAUSE = 150  # milliseconds per step here, so that nobody waits for it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def driver(folder):
    found = [name for name in ("chromium", "chromium-browser", "google-chrome") if which(name)]
    need(found[0] if found else "chromium", "chromium chromium-driver")
    need("chromedriver", "chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = which(found[0])
    for flag in [*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


def mlp():
    r = np.random.default_rng(0)
    X = Tensor(r.normal(size=(4, 2)), name="X")
    W1 = Tensor(r.normal(size=(2, 3)), requires_grad=True, name="W1")
    b1 = Tensor(r.normal(size=3), requires_grad=True, name="b1")
    W2 = Tensor(r.normal(size=(3, 1)), requires_grad=True, name="W2")
    h = np.tanh(X @ W1 + b1)
    loss = np.mean((h @ W2) ** 2) + 0.1 * np.sum(W1**2)
    loss.name = "loss"
    return loss, {"W1": W1, "b1": b1, "W2": W2}


def deep(nodes):
    r = np.random.default_rng(1)
    h = Tensor(r.normal(size=(4, 3)), requires_grad=True)
    count = 1
    while count < nodes - 2:
        W = Tensor(r.normal(size=(3, 3)), requires_grad=True)
        h = np.tanh(h @ W) if count % 5 else h + np.tanh(h @ W)
        count += 3 if count % 5 else 4
    return np.mean(h**2)


@pytest.fixture(scope="module")
def mlp_page(folder):
    viz.page.PAUSE, usual = PAUSE, viz.page.PAUSE
    path = explain(mlp()[0], folder / "mlp.html")
    viz.page.PAUSE = usual
    return path


class Shown:
    """The page in the browser."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, path, step=None):
        self.browser.get("about:blank")
        self.browser.get(path.as_uri() + (f"#{step}" if step else ""))
        return self

    def js(self, code, *args):
        return self.browser.execute_script(code, *args)

    def press(self, *keys):
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def wait(self, condition):
        WebDriverWait(self.browser, 5, poll_frequency=0.02).until(lambda _: condition())

    @property
    def step(self):
        return int(self.text("#count").split()[1])

    @property
    def data(self):
        return self.js("return data")

    def numbers(self, role):
        """The numbers of a card, in full precision."""
        return self.js(
            "return [...document.querySelectorAll(`#rows .card.${arguments[0]}`)].map((card) =>"
            "[...card.querySelectorAll('td')].map((cell) => Number(cell.title)))",
            role,
        )

    def lit(self):
        """Which cells are lit: per card of the first row a list of 0 and 1."""
        return self.js(
            "return [...document.querySelectorAll('#rows .row:first-child .card')].map((card) =>"
            "[...card.querySelectorAll('td')].map((td) => Number(td.classList.contains('lit'))))"
        )

    def media(self, **features):
        found = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        media = next((f["value"] for f in found if f["name"] == "media"), "")
        found = [f for f in found if f["name"] != "media"]
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media, "features": found}
        )

    def size(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture
def shown(driver, mlp_page):
    """The page of the small network; whatever is done with it must leave no message behind."""
    driver.get_log("browser")
    page = Shown(driver)
    page.size(1280, 800)
    page.media()
    yield page.open(mlp_page)
    messages = driver.get_log("browser")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert messages == []


# -- walking through ---------------------------------------------------------------------------


def test_all_steps_are_walked_through_and_end_with_the_gradients_of_backward(shown):
    steps = shown.data["steps"]
    names = [label.split(",")[0].split(" ", 1)[1] for label in shown.data["nodes"]]
    last = {}
    for number, step in enumerate(steps, 1):
        assert shown.text("#count") == f"Step {number} of {len(steps)}"
        assert shown.text("#sentence") == step["sentence"]
        assert shown.text("#heading") == step["formula"]
        assert shown.text("[aria-current]") == f"{number}. {step['title']}"
        if step["kind"] == "edge":
            [last[names[step["target"]]]] = shown.numbers("after")
        shown.press(Keys.ARROW_RIGHT)
    assert shown.step == len(steps), "it stays at the last step"
    loss, leaves = mlp()
    loss.backward()
    for name, leaf in leaves.items():
        assert last[name] == leaf.grad.ravel().tolist()


def test_keys_lead_to_the_steps_that_the_help_promises(shown):
    steps = shown.data["steps"]
    seed = next(k for k, step in enumerate(steps, 1) if step["kind"] == "seed")
    fans = [k for k, step in enumerate(steps, 1) if step["fan"]]
    visited = []
    for key in [Keys.END, Keys.HOME, Keys.ARROW_LEFT, Keys.ARROW_RIGHT, "b", "f", "f", "f", "B"]:
        shown.press(key)
        visited.append(shown.step)
    assert visited == [len(steps), 1, 1, 2, seed, *fans, fans[0], seed]
    assert len(fans) == 2


def test_buttons_do_what_the_keys_do(shown):
    seed = next(k for k, s in enumerate(shown.data["steps"], 1) if s["kind"] == "seed")
    assert not shown.find("#back").is_enabled()
    visited = []
    for button in ("next", "next", "back", "sweep", "fan"):
        shown.find(f"#{button}").click()
        visited.append(shown.step)
    assert visited[:4] == [2, 3, 2, seed] and shown.data["steps"][visited[4] - 1]["fan"]
    shown.press(Keys.END)
    assert not shown.find("#next").is_enabled()


def test_keys_of_the_browser_are_left_alone(shown):
    for modifier in ("ctrlKey", "altKey", "metaKey"):
        event = "new KeyboardEvent('keydown', {key: 'b', [arguments[0]]: true})"
        shown.js(f"document.dispatchEvent({event})", modifier)
        assert shown.step == 1


def test_space_plays_and_pauses(shown):
    shown.press(Keys.SPACE)
    assert shown.text("#play") == "Pause"
    assert shown.find("#play").get_attribute("aria-pressed") == "true"
    shown.wait(lambda: shown.step >= 3)
    shown.press(Keys.SPACE)
    stopped = shown.step
    assert shown.text("#play") == "Play"
    shown.browser.execute_async_script("setTimeout(arguments[1], arguments[0])", 3 * PAUSE)
    assert shown.step == stopped


def test_playing_ends_with_the_last_step_and_starts_again(shown):
    shown.press(Keys.END, Keys.ARROW_LEFT, Keys.SPACE)
    shown.wait(lambda: shown.text("#play") == "Play")
    assert shown.step == len(shown.data["steps"])
    shown.find("#play").click()
    assert shown.step == 1 and shown.text("#play") == "Pause"
    shown.press(Keys.ARROW_RIGHT)
    assert shown.text("#play") == "Play", "who steps by hand has taken over"


def test_help_opens_and_holds_the_keys(shown):
    shown.press("?")
    assert shown.find("#keys").is_displayed()
    shown.press("b")
    assert shown.step == 1
    shown.press(Keys.ESCAPE)
    assert not shown.find("#keys").is_displayed()


def test_the_address_keeps_the_step(shown, mlp_page):
    shown.press("b", Keys.ARROW_RIGHT)
    step = shown.step
    shown.wait(lambda: shown.js("return location.hash") == f"#{step}")
    shown.browser.refresh()
    assert shown.step == step
    shown.js("location.hash = '#3'")
    shown.wait(lambda: shown.step == 3)
    for odd, expected in (("99999", len(shown.data["steps"])), ("-4", 1), ("%22x", 1)):
        assert shown.open(mlp_page, odd).step == expected


# -- lighting up -------------------------------------------------------------------------------


def to(shown, name, kind="edge"):
    """Go to the first step that leads to a name."""
    data = shown.data
    node = next(k for k, label in enumerate(data["nodes"]) if f" {name}," in label)
    steps = data["steps"]
    place = next(k for k, s in enumerate(steps) if s["kind"] == kind and s["target"] == node)
    shown.js("go(arguments[0])", place)


def test_hovering_a_product_lights_the_row_and_the_column(shown):
    to(shown, "W1")
    cell = shown.browser.find_elements(By.CSS_SELECTOR, "#rows .row:first-child .contribution td")[
        4
    ]
    ActionChains(shown.browser).move_to_element(cell).perform()
    left, right, result = shown.lit()
    assert left == [0, 0, 0, 0, 1, 1, 1, 1], "the second row of X.T"
    assert right == [0, 1, 0] * 4, "the second column of g"
    assert result == [0, 0, 0, 0, 1, 0]
    ActionChains(shown.browser).move_to_element(shown.find("h1")).perform()
    assert not any(map(any, shown.lit()))


def test_hovering_a_sum_lights_the_terms(shown):
    to(shown, "b1")
    cell = shown.browser.find_elements(By.CSS_SELECTOR, "#rows .row:first-child .contribution td")[
        2
    ]
    ActionChains(shown.browser).move_to_element(cell).perform()
    assert shown.lit() == [[0, 0, 1] * 4, [0, 0, 1] * 4, [0, 0, 1]]


def test_a_focused_number_lights_up_too(shown):
    to(shown, "W2")
    shown.js("document.querySelector('#rows td').focus()")
    assert shown.lit() == [[1, *[0] * 11], [1, 0, 0, 0], [1, 0, 0]]
    shown.press(Keys.ARROW_DOWN)
    assert shown.js("return document.activeElement === document.querySelectorAll('#rows td')[1]")
    assert shown.js("return document.querySelectorAll('#rows td[tabindex=\"0\"]').length") == 1


# -- the graph ---------------------------------------------------------------------------------


def classes(shown, part):
    return shown.js("return part(arguments[0]).getAttribute('class').split(' ')", part)


def heads(shown, arrow):
    """Whether the heads at the end and at the start of an arrow are drawn."""
    return shown.js(
        "return ['.head:not(.back)', '.head.back'].map((kind) =>"
        "getComputedStyle(part(arguments[0]).querySelector(kind)).display !== 'none')",
        f"a{arrow}",
    )


def test_arrows_turn_round_as_the_gradient_flows_back(shown):
    edges = [(k, s) for k, s in enumerate(shown.data["steps"]) if s["kind"] == "edge"]
    (first, step), *_, (last, later) = edges
    assert heads(shown, step["arrow"]) == [True, False]
    shown.js("go(arguments[0])", first)
    assert heads(shown, step["arrow"]) == [False, True]
    assert "active" in classes(shown, f"a{step['arrow']}")
    assert heads(shown, later["arrow"]) == [True, False]
    shown.js("go(arguments[0])", last)
    assert "active" not in classes(shown, f"a{step['arrow']}")
    assert heads(shown, step["arrow"]) == heads(shown, later["arrow"]) == [False, True]
    shown.press(Keys.HOME)
    assert heads(shown, step["arrow"]) == [True, False]


def test_the_graph_shows_where_we_are_and_what_is_still_unknown(shown):
    steps = shown.data["steps"]
    forward = [s["node"] for s in steps if s["kind"] == "forward"]
    assert "current" in classes(shown, forward[0])
    assert all("pending" in classes(shown, node) for node in forward[1:])
    shown.press(Keys.ARROW_RIGHT)
    assert "pending" not in classes(shown, forward[1]) and "current" not in classes(
        shown, forward[0]
    )
    to(shown, "W1")
    step = steps[shown.step - 1]
    assert "current" in classes(shown, step["node"]) and "target" in classes(shown, step["target"])
    assert shown.js("return document.querySelectorAll('.pending').length") == 0


def test_stepping_forth_and_back_leaves_the_graph_as_it_was(shown):
    state = "return [...document.querySelectorAll('#graph g')].map((g) => g.getAttribute('class'))"
    before = shown.js(state)
    shown.press(Keys.ARROW_RIGHT, "f", Keys.END, "b", Keys.HOME)
    assert shown.js(state) == before


def test_where_we_are_is_scrolled_into_view(shown):
    shown.media(prefers_reduced_motion="reduce")
    for key in ("b", Keys.ARROW_RIGHT, "f", Keys.END, Keys.HOME):
        shown.press(key)
        assert shown.js(
            "const step = steps[now], at = step.target >= 0 ? step.target : step.node;"
            "const a = $('graph').getBoundingClientRect(), b = part(at).getBoundingClientRect();"
            "return a.left <= b.right && b.left <= a.right"
            " && a.top <= b.bottom && b.top <= a.bottom"
        )


# -- for everybody -----------------------------------------------------------------------------


def test_the_graph_the_numbers_and_the_list_are_one_tab_stop_each(shown):
    for step in (1, 10, 20):
        shown.js("go(arguments[0])", step)
        for part in ("graph", "rows", "list"):
            count = f"return document.querySelectorAll('#{part} [tabindex=\"0\"]').length"
            assert shown.js(count) == 1, part
    shown.js("document.activeElement.blur(); scrollTo(0, 0)")
    order = []
    for _ in range(20):
        shown.press(Keys.TAB)
        order.append(
            shown.js(
                "const a = document.activeElement;"
                "const part = a.closest('#graph,#rows,#list,#all') || a;"
                "return a === document.body ? '' : part.id || part.tagName"
            )
        )
    order = order[: order.index("")] if "" in order else order
    for part in ("graph", "rows", "list", "all"):
        assert 1 <= order.count(part) <= 2, order  # a frame that scrolls may be a stop of its own


def test_arrow_keys_move_in_the_graph_and_enter_goes_to_the_step(shown):
    shown.js("boxes[0].focus()")
    shown.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert shown.js("return boxes.indexOf(document.activeElement)") == 1
    shown.press(Keys.ENTER)
    step = shown.data["steps"][shown.step - 1]
    assert 1 in (step["node"], step["target"]) and step["kind"] != "forward"


def test_arrow_keys_move_in_the_list_and_enter_goes_there(shown):
    shown.js("items[0].focus()")
    shown.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    assert shown.step == 3 and shown.js("return items.indexOf(document.activeElement)") == 2


def test_focus_follows_the_steps(shown):
    for group in ("items", "boxes", "[...$('rows').querySelectorAll('td')]"):
        shown.js(f"{group}.find((element) => element.tabIndex === 0).focus()")
        shown.press(Keys.ARROW_RIGHT)
        assert shown.js(f"return {group}.includes(document.activeElement)")
        assert shown.js("return document.activeElement.tabIndex") == 0


def test_stepping_fast_leaves_the_right_address(shown):
    shown.js("for (let k = 0; k < 300; k += 1) show(k % steps.length)")
    shown.wait(lambda: shown.js("return location.hash") == f"#{shown.step}")


def test_a_click_on_a_node_goes_to_its_next_step(shown):
    node = shown.data["steps"][1]["node"]
    shown.js("part(arguments[0]).dispatchEvent(new MouseEvent('click', {bubbles: true}))", node)
    assert shown.step == 2


def test_everything_has_a_name(shown):
    to(shown, "W1")
    assert shown.js("return [...document.querySelectorAll('table')].every((t) => t.caption)")
    assert shown.js("return document.querySelectorAll('[aria-current]').length") == 1
    sentence = shown.find("#sentence")
    assert sentence.aria_role == "status" and sentence.get_attribute("aria-live") == "polite"
    for selector in (
        "#graph [tabindex='0']",
        "#list [tabindex='0']",
        "#next",
        "progress",
        "#graph",
    ):
        assert shown.find(selector).accessible_name, selector
    assert shown.find("#graph [tabindex='0']").accessible_name.startswith(
        "parameter W1, shape 2 by 3"
    )
    assert shown.find("#rows table").accessible_name == "X.T, (2, 4)"


def test_a_focus_ring_can_be_seen(shown):
    for code in ("items[now].focus()", "boxes[0].focus()", "$('next').focus()"):
        shown.press(Keys.TAB)
        shown.js(code)
        style = "return getComputedStyle(document.activeElement)"
        assert shown.js(f"{style}.outlineWidth") == "3px"
        assert shown.js(f"{style}.outlineStyle") == "solid"


def test_light_and_dark_are_two_pictures(shown):
    to(shown, "W1")
    pictures, grounds = [], []
    for scheme in ("light", "dark"):
        shown.media(prefers_color_scheme=scheme)
        pictures.append(shown.browser.get_screenshot_as_png())
        grounds.append(
            shown.js("return getComputedStyle(document.documentElement).backgroundColor")
        )
    assert min(map(len, pictures)) > 20_000 and pictures[0] != pictures[1]
    assert grounds == ["rgb(255, 255, 255)", "rgb(18, 22, 27)"]


def test_nothing_moves_for_who_asked_for_it(shown):
    to(shown, "W1")
    style = "return getComputedStyle(document.querySelector('#rows td')).transitionDuration"
    assert shown.js(style) != "0s"
    shown.media(prefers_reduced_motion="reduce")
    assert shown.js(style) == "0s"


@pytest.mark.parametrize("width", [360, 700, 1280, 1920])
def test_no_width_needs_sideways_scrolling(shown, width):
    shown.size(width, 800)
    for name in ("W1", "b1"):
        to(shown, name)
        assert shown.js("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "beside"), [(700, False), (1280, True)])
def test_the_list_stands_beside_the_equation_where_there_is_room(shown, width, beside):
    shown.size(width, 800)
    place = "const a = $('panel').getBoundingClientRect(), b = $('list').getBoundingClientRect();"
    assert shown.js(f"{place} return b.left >= a.right") == beside
    assert shown.js(f"{place} return b.top >= a.bottom") == (not beside)


def visible(shown, selector):
    """Whether it takes room, asked of the layout itself: this works without JavaScript too."""
    root = shown.browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
    query = {"nodeId": root, "selector": selector}
    node = shown.browser.execute_cdp_cmd("DOM.querySelector", query)["nodeId"]
    try:
        box = shown.browser.execute_cdp_cmd("DOM.getBoxModel", {"nodeId": node})["model"]
    except Exception as error:
        assert "Could not compute box model" in str(error)
        return False
    return box["width"] > 0 and box["height"] > 0


def test_without_javascript_the_list_tells_everything(shown, mlp_page):
    shown.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    shown.open(mlp_page)
    assert visible(shown, "#all li:last-child") and visible(shown, "noscript")
    assert visible(shown, "#graph svg")
    assert not any(visible(shown, part) for part in ("#list", "#panel", ".controls"))


def test_in_print_the_list_tells_everything(shown):
    seen = "return document.querySelector('#all li:last-child').checkVisibility()"
    assert not shown.js(seen)
    pdf = shown.browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(pdf) > 20_000
    assert not shown.js("return $('all').open"), "as it was, after printing"
    shown.media(media="print")
    shown.js("dispatchEvent(new Event('beforeprint'))")
    assert shown.js(seen) and shown.js("return $('all').open")
    assert not any(visible(shown, part) for part in ("#list", "#panel", ".controls"))


def test_it_works_in_a_sandboxed_frame(shown, mlp_page, folder):
    frame = folder / "frame.html"
    page = html.escape(mlp_page.read_text(encoding="utf-8"))
    frame.write_text(f'<!doctype html><iframe sandbox="allow-scripts" srcdoc="{page}"></iframe>')
    shown.open(frame)
    shown.browser.switch_to.frame(0)
    shown.find("#count")
    shown.js("go(4)")
    assert shown.step == 5
    shown.browser.switch_to.default_content()


def test_it_works_where_the_address_may_not_be_changed(shown):
    shown.js("history.replaceState = () => { throw new DOMException('no', 'SecurityError'); }")
    shown.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    shown.browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert shown.step == 3


def test_hostile_names_are_only_text(shown, folder):
    name = "</script><img src=x onerror=alert(1)>"
    x = Tensor([1.0, 2.0], requires_grad=True, name=name)
    shown.open(explain(np.sum(x * x), folder / "hostile.html", title=name), 5)
    assert shown.browser.title == name and shown.text("h1") == name
    assert shown.js("return document.images.length") == 0
    assert name in shown.text("#heading") and name in shown.text("#sentence")


def test_odd_numbers_are_marked_by_more_than_colour(shown, folder):
    x = Tensor([np.nan, np.inf, 1e-9], requires_grad=True, name="x")
    shown.open(explain(np.sum(x * x), folder / "odd.html"))
    cells = shown.js(
        "return [...document.querySelectorAll('#rows td')].map((t) => [t.textContent, t.className])"
    )
    assert cells[:3] == [["nan", "odd"], ["inf", "odd"], ["1e-9", ""]]


def test_large_and_many_axed_arrays_are_shown(shown, folder):
    x = Tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True, name="x")
    W = Tensor(np.ones((4, 40)), requires_grad=True, name="W")
    shown.open(explain(np.sum(x @ W), folder / "large.html"))
    assert (
        shown.js(
            "return document.querySelectorAll('#rows .card')[0].querySelectorAll('table').length"
        )
        == 2
    )
    assert "160 numbers, corners shown: mean 1" in shown.text("#rows .pair:nth-of-type(2)")
    assert shown.js("return document.querySelectorAll('#rows td.gap').length") > 0
    assert not shown.js("return [...document.querySelectorAll('td.gap')].some((td) => td.place)")


# -- speed -------------------------------------------------------------------------------------


def measured(shown, path):
    """Milliseconds to the first paint, and per step, layout included."""
    shown.open(path)
    paint = "return performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
    shown.wait(lambda: shown.js(paint))
    times = shown.js(
        "const times = [];"
        "for (let k = 0; k < Math.min(steps.length, 150); k += 1) {"
        "  const start = performance.now();"
        "  document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));"
        "  document.body.offsetHeight;"
        "  times.push(performance.now() - start);"
        "} return times"
    )
    return shown.js(paint)[0], statistics.median(times)


@pytest.mark.parametrize("nodes", [100, 390])
def test_it_is_fast(shown, folder, nodes):
    paint, step = measured(shown, explain(deep(nodes), folder / f"deep{nodes}.html"))
    assert step < 50
    if nodes == 100:
        assert paint < 1000
