"""Headless Chromium, Debian's package, driven by Playwright's client with a fresh profile for each page."""

from __future__ import annotations

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.collect import written
from hpc_sweep.report.page import page as html_page
from tests.conftest import require

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-default-browser-check",
]


def required(module):
    """Import a test dependency; without it the test is skipped on a laptop and fails in CI."""
    require(find_spec(module.partition(".")[0]) is not None, module, "type make test-env")
    return import_module(module)


@pytest.fixture(scope="session")
def chromium():
    """Return a running browser; skipped on a laptop that has none, failed in CI."""
    found = shutil.which("chromium")
    require(found is not None, "chromium", "type bash tests/install-debian.sh 'in a browser' chromium")
    sync_api = required("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Shown:
    """A report in a page, with everything that the browser complained about or asked the network for."""

    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.tab = self.context.new_page()
        self.complaints, self.requests = [], []
        self.tab.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.tab.goto(f"file://{path}")
        self.tab.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=60_000)


@pytest.fixture
def show(chromium, tmp_path):
    """Return a function that writes the report of a sweep and opens it."""
    opened = []

    def open_report(sweep, **context):
        path = Path(tmp_path) / "report.html"
        path.write_bytes(html_page(written(sweep, read_ledger(sweep)).document()).encode())
        opened.append(Shown(chromium, path, **context))
        return opened[-1]

    yield open_report
    for one in opened:
        one.context.close()
