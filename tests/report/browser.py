"""A written page in headless Chromium."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def browser_on(address: str) -> Iterator[Callable[..., Any]]:
    """Visits to `address`: `visit(width, scheme)` opens it, unfolds its sections and gives the page. At the end nothing may have been
    complained of, or asked for besides the page itself. Skips where there is no browser.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    complaints: list[str] = []
    requests: list[str] = []
    visits = 0
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def visit(width: int = 1280, scheme: str = "light", *, height: int = 900, fragment: str = "", folded: bool = False) -> Any:
            nonlocal visits
            visits += 1
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.on("request", lambda request: requests.append(request.url.partition("#")[0]))
            page.goto(address + fragment)
            if not folded:
                page.locator("#unfold").click()
            return page

        try:
            yield visit
        finally:
            browser.close()
    assert complaints == []
    assert requests == [address] * visits


def all_drawn(page: Any) -> int:
    """Waits until every figure is drawn, and gives their number."""
    from playwright.sync_api import expect

    number = int(page.locator("[data-figure]").count())
    expect(page.locator("[data-figure][aria-label] svg")).to_have_count(number)
    return number
