"""A browser, and a page of the fake study opened in it from a file, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Page as Tab

from analysis.report.page import Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, else Playwright's; of a module, for its event loop would disturb others in the session."""
    found = next((place for name in CHROMIUM if (place := shutil.which(name))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def write_page(path: Path, told: dict[str, Any]) -> Path:
    """A page with nothing but the interactive part."""
    page = Page("A study", "Twelve trials.")
    page.explorer(told)
    page.write(path, "The end.")
    return path


@contextmanager
def visited(browser: Browser, path: Path, **how: Any) -> Iterator[Tab]:
    """A page opened from its file, offline: at the end nothing else was asked for, and nothing went wrong.

    Args:
        browser: To open it in.
        path: Of the page.
        how: Of the browser's context: its viewport, say.
    """
    asked: list[str] = []
    wrong: list[str] = []
    settings: dict[str, Any] = {"offline": True, "viewport": {"width": 1400, "height": 1000}}
    context = browser.new_context(**settings | how)
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert wrong == []
