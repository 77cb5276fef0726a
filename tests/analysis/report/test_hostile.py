"""The report of a study that a stranger made: its names are text on the page, in the figures and on the terminal."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser, expect

from analysis.figures import style
from analysis.frames import load
from analysis.report import command
from study.config import StudyConfig
from tests.analysis import conftest
from tests.analysis.conftest import write_study
from tests.analysis.report.conftest import visited
from tests.analysis.report.test_page import Read

MARKUP = "<img src=x onerror=alert(1)>\"'><b>b</b>&amp;<script>harmed=1</script></script>"
FOLDER = MARKUP.replace("/", "\u2215") + "\x1b[2J\u2028\u202e$x_{\\frac{$"
"""A folder's name cannot have a slash; the last part is no formula, and not the beginning of one."""
FACTORS = [f"{MARKUP}\x1b[2J", "$\\frac{$</script><b>x</b>", "_\u2028{x}^$"]
TERMINAL = ("\x1b", "\r", "\u2028", "\u202e")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store whose every name is meant to do harm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "FACTORS", FACTORS)
        study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (1.0, 4.0)}, seeds=2)
        path = write_study(tmp_path_factory.mktemp("hostile") / FOLDER, lambda config: "finished", study)
        known = json.loads((path / "study.json").read_text())
        known["provenance"][-1]["commit"] = known["provenance"][-1]["dataset"]["name"] = f"{MARKUP}\x1b[2J$\\frac{{$"
        known["identity"]["protocol"] = known["identity"]["search"] = f"{MARKUP}\x1b[2J"
        (path / "study.json").write_text(json.dumps(known))
        yield path


@pytest.fixture(scope="module")
def page(stranger: Path) -> str:
    """Its page; the figures are drawn, with the sheet of a trial."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # no font has them all
        assert command.main([str(stranger), "--trials", load(stranger).finished["key"].tolist()[0]]) == 0
    return (stranger / "report" / "index.html").read_text(encoding="utf-8")


def test_names_are_text_on_the_page(page: str, stranger: Path) -> None:
    read = Read(page)
    name = load(stranger).study.name
    assert MARKUP.replace("/", "\u2215") in name
    assert read.text.count(name) >= 3  # title, heading and footer
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "section", "noscript"}
    allowed |= {"div", "form", "figure", "figcaption", "aside", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert {tag for tag, _ in read.tags} - allowed <= {"footer", "script"}
    assert [tag for tag, _ in read.tags].count("script") == 3  # the data, Plotly and ours
    assert all(str(about["src"]).startswith("data:") for tag, about in read.tags if tag == "img")
    assert not [about for _, about in read.tags if any(name.startswith("on") or name == "href" for name in about)]
    text = page[: page.index("<script")] + page[page.index("<footer") : page.index('<script type="text/javascript"')]
    assert not any(sign in text for sign in TERMINAL)


def test_names_are_text_on_the_terminal(stranger: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = command._told(stranger, [])
    assert told is not None
    command._print(told)
    (stranger / "arrays" / "x.h5").write_text("\x1b[2J")
    command._warn(told.frames)
    (stranger / "arrays" / "x.h5").unlink()
    printed = "".join(capsys.readouterr())
    assert "\\x1b[2J" in printed
    command._say("one \x1b[2J\ntwo")
    assert capsys.readouterr().out == "one \\x1b[2J\ntwo\n"
    assert not any(sign in printed for sign in TERMINAL)
    assert command.main([f"{stranger}\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_names_are_no_formulas_in_figures(stranger: Path) -> None:
    names = load(stranger).factors
    style.use()
    figure = Figure()
    axes = figure.subplots()
    axes.set_title(names[1])
    axes.set_yticks([0, 1, 2], names)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.canvas.draw()  # a formula that is none raises
    assert axes.title.get_text() == FACTORS[1]
    assert all(name.isprintable() for name in names)
    assert not axes.title.get_parse_math()
    plt.rcdefaults()


@pytest.mark.slow
def test_a_browser_runs_none_of_it(browser: Browser, page: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    with visited(browser, tmp_path / "index.html") as tab:  # nothing is asked for, nothing goes wrong
        expect(tab.locator("h1")).to_contain_text("<script>harmed=1")
        expect(tab.locator("output")).to_have_text("4 of 4 trials shown")
        assert tab.evaluate("typeof harmed") == "undefined"
        assert tab.locator("b, a, img:not([src^='data:'])").count() == 0


@pytest.mark.slow
def test_the_page_of_several_is_as_harmless(stranger: Path, fake_study: Path) -> None:
    other = stranger.parent / "javascript:alert(1)"
    other.symlink_to(fake_study)
    assert command.main([str(stranger), str(other)]) == 0
    (page,) = (stranger / "report").glob("beside-*.html")
    read = Read(page.read_text(encoding="utf-8"))
    assert [tag for tag, _ in read.tags].count("script") == 3
    assert not {tag for tag, _ in read.tags} & {"b", "a"}
