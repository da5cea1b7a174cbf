"""Starts a headless Chromium, for the page's tests and its benchmark."""

import shutil
import time
from collections.abc import Callable
from typing import Any

from cli.command import UserError

FLAGS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-sync "
    "disable-background-networking disable-component-update window-size=1280,900"
)
PATIENCE = 120  # seconds; the machine may be busy


def start_chromium(*flags: str):
    """Starts a Chromium with a profile of its own.

    Args:
        *flags: further ones, without the leading dashes.

    Returns:
        A Selenium WebDriver; `quit` ends it.

    Raises:
        UserError: Selenium, Chromium or its driver is missing.
    """
    try:
        from selenium import webdriver
    except ImportError:
        raise UserError(
            "selenium is not installed; run: pip install -r requirements-dev.txt"
        ) from None
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        raise UserError(
            "chromium or chromedriver is missing; on Debian: apt-get install chromium"
            " chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), *flags):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_script_timeout(PATIENCE)
    return browser


def wait_for(read: Callable[[], Any], what: str) -> Any:
    """Waits until `read` gives something true, and returns it.

    Raises:
        TimeoutError: it did not within `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := read():
            return value
        time.sleep(0.05)
    raise TimeoutError(f"waited {PATIENCE} s for {what}")
