"""The page as a reader has it: opened from a file in a real browser, clicked, typed at, and looked at."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from analysis.frames import load
from analysis.report.explorer import payload
from analysis.tradeoff.settings import by_setting, front
from study.config import StudyConfig
from tests.analysis.conftest import write_study
from tests.analysis.report.conftest import visited, write_page

HOSTILE = "</script><script>harmed=1</script><img src=x onerror='harmed=2'><b>b</b>"


@pytest.fixture(scope="module")
def told(fake_study: Path) -> dict[str, Any]:
    return payload([load(fake_study)])


@pytest.fixture(scope="module")
def open_page(browser: Browser, told: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with visited(browser, write_page(tmp_path_factory.mktemp("page") / "index.html", told)) as tab:
        yield tab


@pytest.fixture
def tab(open_page: Tab) -> Tab:
    """The page as it was when it opened, but that no trial is selected and rows are by reconstruction."""
    open_page.get_by_role("button", name="Reset").click()
    if open_page.locator("th[aria-sort=ascending]:has-text('recon')").count() == 0:
        open_page.get_by_role("button", name="recon").click()
    open_page.locator(".plot").focus()
    open_page.keyboard.press("Escape")
    return open_page


def test_the_page_opens_from_its_file_with_a_trial_to_look_at(
    browser: Browser, told: dict[str, Any], tmp_path: Path
) -> None:
    with visited(browser, write_page(tmp_path / "index.html", told)) as tab:
        expect(tab.locator("output")).to_have_text("10 of 10 trials shown")
        best = min(told["trials"], key=lambda trial: trial["values"]["recon"])
        expect(tab.locator(".detail")).to_contain_text(best["key"])
        assert tab.locator(".plot .points path").count() == 10 + 6  # trials and means
        assert tab.locator("noscript").count() == 1


def test_a_click_on_a_point_shows_that_trials_pictures(tab: Tab, told: dict[str, Any]) -> None:
    for trial in (told["trials"][3], told["trials"][6]):
        tab.mouse.click(*pixel(tab, trial))
        assert_shown(tab, trial)
        assert tab.locator("tr[aria-selected=true]").get_attribute("data-place") == str(told["trials"].index(trial))
        assert rings(tab) == [(trial["values"]["recon"], trial["values"]["mig_calibrated"])]


@pytest.mark.slow
def test_a_click_on_a_mean_shows_the_least_seed_of_its_setting(tab: Tab, told: dict[str, Any]) -> None:
    place = next(trial["setting"] for trial in told["trials"] if trial["seed"] == 1)
    means = told["settings"][place]["means"]
    tab.mouse.click(*pixel(tab, {"values": {name: mean for name, (mean, _, _) in means.items()}}))
    assert_shown(tab, next(trial for trial in told["trials"] if trial["setting"] == place and trial["seed"] == 0))


@pytest.mark.slow
def test_a_row_selects_its_point(tab: Tab, told: dict[str, Any]) -> None:
    tab.locator("tbody tr").nth(4).click()
    trial = by_recon(told)[4]
    assert_shown(tab, trial)
    assert rings(tab) == [(trial["values"]["recon"], trial["values"]["mig_calibrated"])]


def test_the_keyboard_walks_the_plot_by_reconstruction(tab: Tab, told: dict[str, Any]) -> None:
    order = by_recon(told)
    for key in ("Home", *["ArrowRight"] * 5, "ArrowLeft", "Enter"):
        tab.keyboard.press(key)
    assert_shown(tab, order[4])  # of the other family
    expect(tab.locator(".status")).to_contain_text(f"recon {order[4]['values']['recon']:.1f}")
    tab.keyboard.press("ArrowRight")
    assert_shown(tab, order[4])  # until Enter
    assert len(rings(tab)) == 2
    tab.keyboard.press("Escape")
    assert rings(tab) == []
    expect(tab.locator(".detail img")).to_have_count(0)


@pytest.mark.slow
def test_the_keyboard_walks_the_table_by_row(tab: Tab, told: dict[str, Any]) -> None:
    order = by_recon(told)
    tab.locator("th button").last.focus()
    tab.keyboard.press("Tab")  # one row alone is in the tab order
    assert tab.evaluate("document.activeElement.rowIndex") == 1
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        tab.keyboard.press(key)
    assert_shown(tab, order[2])
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(outline) == "solid"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('tbody')") is None


def test_a_filter_holds_for_plot_table_and_count(tab: Tab, told: dict[str, Any]) -> None:
    tab.get_by_role("group", name="C", exact=True).get_by_label("12").uncheck()
    tab.get_by_role("group", name="seed").get_by_label("1").uncheck()
    kept = [trial for trial in by_recon(told) if trial["fields"]["capacity_max"] != 12 and trial["seed"] == 0]
    assert 0 < len(kept) < 10
    expect(tab.locator("output")).to_have_text(f"{len(kept)} of 10 trials shown")
    assert keys_of_rows(tab) == [trial["key"][:8] for trial in kept]
    assert sorted(points(tab, "trials")) == sorted(at(trial) for trial in kept)
    expect(tab.locator("figcaption")).to_contain_text("a front is that of the settings shown alone")
    tab.get_by_role("button", name="Reset").click()
    expect(tab.locator("output")).to_have_text("10 of 10 trials shown")
    assert len(points(tab, "trials")) == len(keys_of_rows(tab)) == 10


@pytest.mark.slow
def test_a_selected_trial_that_is_filtered_out_is_selected_no_more(tab: Tab, told: dict[str, Any]) -> None:
    tab.mouse.click(*pixel(tab, told["trials"][0]))
    tab.get_by_role("group", name="family").get_by_label("fixed β").uncheck()
    expect(tab.locator(".detail img")).to_have_count(0)
    assert rings(tab) == []


@pytest.mark.slow
def test_fronts_are_those_of_the_settings_shown(tab: Tab, fake_study: Path, told: dict[str, Any]) -> None:
    rows = by_setting(load(fake_study).trials)
    for hidden in (None, 16):
        if hidden:
            tab.get_by_role("group", name="β", exact=True).get_by_label(str(hidden)).uncheck()
        for family in ("beta", "capacity"):
            some = [row for row in rows if row.family == family and row.fields.get("beta", 0) != hidden]
            best = [(row.estimates["recon"].mean, row.estimates["mig_calibrated"].mean) for row in front(some)]
            np.testing.assert_allclose(points(tab, f"front {family}"), best, rtol=1e-4)


def test_numbers_are_sorted_as_numbers(tab: Tab) -> None:
    column = tab.locator("thead th").all_inner_texts().index("C") + 1
    tab.get_by_role("button", name="C", exact=True).press("Enter")
    values = tab.locator(f"tbody td:nth-child({column})").all_inner_texts()
    assert values == ["6", "6", "12", "12", "18", *[""] * 5]
    assert tab.locator("th[aria-sort=ascending]").inner_text() == "C"
    tab.get_by_role("button", name="C", exact=True).click()
    assert tab.locator(f"tbody td:nth-child({column})").all_inner_texts() == ["18", "12", "12", "6", "6", *[""] * 5]
    assert tab.locator("th[aria-sort=descending]").inner_text() == "C"


@pytest.mark.slow
def test_the_other_view_is_rate_and_distortion(tab: Tab, told: dict[str, Any]) -> None:
    tab.get_by_label("rate and distortion").check()
    assert sorted(points(tab, "trials")) == sorted(
        (trial["values"]["kl"], trial["values"]["recon"]) for trial in told["trials"]
    )
    assert points(tab, "front") == []
    expect(tab.locator(".plot")).to_contain_text("H(images)")


@pytest.mark.slow
def test_names_are_text_whatever_they_say(browser: Browser, told: dict[str, Any], tmp_path: Path) -> None:
    hostile = copy.deepcopy(told)
    hostile["studies"][0]["name"] = hostile["families"][0]["title"] = hostile["scores"][0]["title"] = HOSTILE
    hostile["notes"] = [HOSTILE]
    for field in hostile["fields"]:
        field["title"] = HOSTILE
        field["values"] = [[value, HOSTILE] for value, _ in field["values"]]
    for setting in hostile["settings"]:
        setting["label"] = HOSTILE
    for trial in hostile["trials"]:
        trial["pictures"]["rows"][0]["factor"] = trial["fields"]["verdict"] = trial["load"] = HOSTILE
        trial["audit"] = trial["config"] = [[HOSTILE, HOSTILE]]
    path = write_page(tmp_path / "index.html", hostile)
    with visited(browser, path, viewport={"width": 1400, "height": 2000}) as tab:  # names are long
        tab.mouse.click(*pixel(tab, hostile["trials"][0]))
        tab.mouse.move(*pixel(tab, hostile["trials"][1]))
        expect(tab.locator(".plot .hoverlayer")).to_contain_text("<b>b</b>")
        expect(tab.locator(".detail h3")).to_contain_text(HOSTILE)
        expect(tab.locator(".detail details")).to_contain_text(HOSTILE)
        assert tab.evaluate("typeof harmed") == "undefined"
        assert tab.locator("#explorer b, #explorer script, img:not([src^='data:'])").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_two_studies_stand_side_by_side(same: bool, browser: Browser, fake_study: Path, tmp_path: Path) -> None:
    other = StudyConfig(
        pinned={"objective": ("beta_vae",), "beta": (2.0, 8.0)}, seeds=1, measured={} if same else {"eval_seed": 5}
    )
    both = payload([load(fake_study), load(write_study(tmp_path / "other", lambda config: "finished", other))])
    with visited(browser, write_page(tmp_path / "index.html", both)) as tab:
        expect(tab.locator("output")).to_have_text("12 of 12 trials shown")
        first, second = (
            tab.evaluate(f"document.querySelector('.plot')._fullLayout.{name}.range") for name in ("xaxis", "xaxis2")
        )
        assert (first == second) is same
        expect(tab.locator("#explorer > p").last).to_contain_text("the same" if same else "cannot be compared")
        for name in ("capacity_grid-laptop", "other"):
            expect(tab.locator(".plot .infolayer")).to_contain_text(name)
        trial = both["trials"][-1]
        tab.mouse.click(*pixel(tab, trial))
        assert_shown(tab, trial)


@pytest.mark.slow
def test_without_a_score_the_view_is_rate_and_distortion(browser: Browser, tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    store = write_study(tmp_path / "s", lambda config: "finished", study, factors=False)
    lost = load(store).finished["key"].iloc[0]
    (store / "arrays" / f"{lost}.h5").rename(tmp_path / "away.h5")
    (store / "arrays" / f"{lost}.h5").write_bytes(b"no HDF5")
    told = payload([load(store)])
    with visited(browser, write_page(tmp_path / "index.html", told)) as tab:
        expect(tab.locator("#explorer")).to_contain_text("No finished trial has a disentanglement score")
        assert tab.locator("select").count() == 0
        assert len(points(tab, "trials")) == len(told["trials"]) > 1
        tab.locator(f"tr:has-text('{lost[:8]}')").click()
        expect(tab.locator(".detail")).to_contain_text("No pictures: ")
        expect(tab.locator(".detail img")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dark", "light"])  # the light one last: the page stays open
def test_text_is_told_from_its_ground(scheme: Any, tab: Tab) -> None:
    tab.emulate_media(color_scheme=scheme)
    names = ("ink", "muted", "accent", "page", "wash")
    script = "names => names.map(name => getComputedStyle(document.body).getPropertyValue(`--${name}`))"
    ink, muted, accent, page, wash = (luminance(value) for value in tab.evaluate(script, list(names)))
    assert (page > 0.5) is (scheme == "light")
    for ground in (page, wash):
        assert all(contrast(text, ground) >= 4.5 for text in (ink, muted, accent))
    drawn = ""
    for _ in range(100):  # the plot follows, once the page has heard of it
        drawn = tab.evaluate("document.querySelector('.plot').layout.paper_bgcolor")
        if (luminance(drawn) > 0.5) is (scheme == "light"):
            break
        tab.wait_for_timeout(100)
    assert (luminance(drawn) > 0.5) is (scheme == "light")


@pytest.mark.slow
def test_a_narrow_window_is_not_scrolled_sideways(tab: Tab) -> None:
    tab.set_viewport_size({"width": 420, "height": 900})
    tab.locator("tbody tr").first.click()
    expect(tab.locator(".detail h3")).to_be_in_viewport()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420
    tab.set_viewport_size({"width": 1400, "height": 1000})


@pytest.mark.slow
def test_many_values_are_filtered_by_their_ends(browser: Browser, tmp_path: Path) -> None:
    betas = tuple(map(float, range(1, 13)))
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": betas}, seeds=1)
    told = payload([load(write_study(tmp_path / "s", lambda config: "finished", study))])
    with visited(browser, write_page(tmp_path / "index.html", told)) as tab:
        tab.get_by_role("group", name="β").get_by_label("from").fill("4")
        tab.get_by_role("group", name="β").get_by_label("to").fill("9.5")
        expect(tab.locator("output")).to_have_text("6 of 12 trials shown")
        assert len(points(tab, "trials")) == 6


def at(trial: dict[str, Any]) -> tuple[float, float]:
    return trial["values"]["recon"], trial["values"]["mig_calibrated"]


def by_recon(told: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(told["trials"], key=lambda trial: trial["values"]["recon"])


def assert_shown(tab: Tab, trial: dict[str, Any]) -> None:
    expect(tab.locator(".detail")).to_contain_text(trial["key"])
    assert tab.locator("img.traversals").get_attribute("src") == trial["pictures"]["traversals"][0]
    assert tab.locator("img.reconstructions").get_attribute("src") == trial["pictures"]["reconstructions"]


def keys_of_rows(tab: Tab) -> list[str]:
    return tab.locator("tbody tr td:last-child").all_inner_texts()


def pixel(tab: Tab, trial: dict[str, Any]) -> tuple[float, float]:
    """Where a trial's point is on the screen."""
    script = """([study, x, y]) => {
        const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect(), name = study ? study + 1 : "";
        const [across, up] = [plot._fullLayout[`xaxis${name}`], plot._fullLayout[`yaxis${name}`]];
        return [box.left + across._offset + across.l2p(x), box.top + up._offset + up.l2p(y)];
    }"""
    left, top = tab.evaluate(script, [trial.get("study", 0), *at(trial)])
    return left, top


def points(tab: Tab, name: str) -> list[tuple[float, float]]:
    """The points of all traces whose name begins so."""
    script = """name => document.querySelector(".plot").data.filter(trace => trace.name.startsWith(name))
        .flatMap(trace => trace.x.map((x, place) => [x, trace.y[place]]))"""
    return [(x, y) for x, y in tab.evaluate(script, name)]


def rings(tab: Tab) -> list[tuple[float, float]]:
    script = """document.querySelector(".plot").layout.shapes.filter(shape => shape.name === "ring")
        .map(shape => [shape.xanchor, shape.yanchor])"""
    return [(x, y) for x, y in tab.evaluate(script)]


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 defines it, of `#rrggbb`."""
    channels = [int(colour.strip()[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
