"""The built page, a server of it, and a browser that shows it."""

from pathlib import Path

import numpy as np
import pytest

from cli.command import UserError
from deploy import Finding, Segmenter
from models.shipped import SHIPPED_WEIGHTS
from tests.web.page import Page, opened_browser, serving
from web.build import MODEL, build
from web.serve import make_server


@pytest.fixture(scope="session")
def dist(tmp_path_factory) -> Path:
    """The page, built."""
    folder = tmp_path_factory.mktemp("web") / "dist"
    try:
        build(SHIPPED_WEIGHTS["lgps"], None, folder)
    except UserError as error:  # npm has not run, or an export package is missing
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="session")
def address(dist) -> str:
    """Where the page is served."""
    with serving(make_server(dist, 0)) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with opened_browser() as window:
        yield window


@pytest.fixture
def page(browser, address, tmp_path) -> Page:
    """The page, just opened, with a sample in it."""
    page = Page(browser, address, tmp_path / "downloads")
    page.open()
    page.wait_for_result()
    return page


@pytest.fixture(scope="session")
def in_python(dist):
    """A function `(image, threshold=0.5)` → `Finding`, of the page's own model file."""
    pytest.importorskip("onnxruntime")
    from deploy.runtimes import load_runtime

    runtime = load_runtime(dist / MODEL, threads=1)

    def find(image: np.ndarray, threshold: float = 0.5) -> Finding:
        return Segmenter(runtime, threshold)(image)

    find.runtime = runtime
    return find
