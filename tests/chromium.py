"""A real Chromium for tests, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

# The shell is the same engine without the windows, menus and extensions that nobody sees here, and
# takes less than half of the processor for a test.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A page on a busy machine may take longer than Playwright's five seconds.
SEEN_WITHIN_MS = 45_000


@contextmanager
def running_chromium() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.fail("no Chromium is installed: on Debian, apt-get install chromium-headless-shell")
    expect.set_options(timeout=SEEN_WITHIN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


# One for each module, not for the session: as long as it is open Playwright keeps an event loop
# running in this thread, beside which no asynchronous test can run.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser
