"""Headless Chromium as the system has it; no browser of Playwright's own is downloaded."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """Skips the test where there is no Chromium; fails it in CI, where one must be."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is not None:
        return path
    reason = "no Chromium: install one or name it in CHROMIUM"
    # A build that silently tests less than it says would be worse than a red one.
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
