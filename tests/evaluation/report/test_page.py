"""The report page in a real browser: sorting, filtering, opening a case, 1500 cases."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation.protocols import build_protocols
from evaluation.report.page import Gallery, picture_name, write_report
from evaluation.report.results_folder import write_metrics
from evaluation.scoring import SetScores, score_cases
from tests.web.page import opened_browser
from web.chromium import wait_for


def disc(side: int, radius: float, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - side
    return (x**2 + y**2 <= radius**2).astype(np.float32)


@pytest.fixture
def make_report(make_case, make_case_set, tmp_path):
    """Scores cases and writes their report; returns its path."""

    def make(cases, name="toy"):
        gallery = Gallery(tmp_path, threshold=0.5)
        for case in cases:
            gallery.add(case)
        scores = score_cases(cases, build_protocols(["lgps", "pvtseg"]))
        return write(make_case_set(cases, name), scores)

    def write(case_set, scores: SetScores):
        maps = SimpleNamespace(
            label="m<b>",
            source=tmp_path,
            checkpoint=tmp_path,
            view="whole",
            images_per_second=12.3,
        )
        metrics = write_metrics(tmp_path, maps, case_set, scores)
        write_report(tmp_path, metrics, scores)
        return tmp_path / "report.html"

    make.write = write
    return make


@pytest.fixture
def cases(make_case):
    """Three cases: found, half found and missed, of three sizes and two centres."""
    found = [(20, 1), (60, 0.6), (300, 0)]
    return [
        make_case(
            disc(24, 12),
            disc(24, 12 * share),
            f"case</script>{index}",
            centre=f"C{1 + index // 2}",
            source_size=(side * 6, side * 6),
        )
        for index, (side, share) in enumerate(found)
    ]


def test_page_stands_alone(make_report, cases):
    text = make_report(cases, "Kvasir-SEG").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert "m&lt;b&gt; on Kvasir-SEG" in text and "m<b>" not in text
    assert text.count("</script>") == 2  # names cannot end a script
    assert "PVTSeg (trained on Kvasir-SEG), published" in text  # the anchor
    assert "The published rows" in text
    assert "0.9292" in text
    assert 'data-order="none small medium large"' in text


def test_published_rows_are_not_spoken_of_where_there_are_none(make_report, cases):
    assert "published rows" not in make_report(cases, "toy").read_text("utf-8")


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as window:
        yield window


def shown(browser) -> list[str]:
    """Names of the cards, in order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.card > span > span')]"
        ".map(name => name.textContent)"
    )


def choose(browser, control: str, value: str) -> None:
    browser.execute_script(
        "const control = document.getElementById(arguments[0]);"
        "control.value = arguments[1];"
        "control.dispatchEvent(new Event('input', {bubbles: true}));",
        control,
        value,
    )


def wait_for_panels_of(browser, picture: str) -> None:
    """The viewer shows a picture once it has been loaded."""
    style = "return getComputedStyle(document.querySelector('#panels div'))"
    wait_for(
        lambda: picture in browser.execute_script(f"{style}.backgroundImage"),
        f"{picture} in the viewer",
    )


def test_sort_filter_and_open(browser, make_report, cases):
    browser.get(make_report(cases).as_uri())
    names = [f"case</script>{i} (C{1 + i // 2})" for i in range(3)]
    assert shown(browser) == names[::-1]  # worst first
    choose(browser, "sort", "-dice")
    assert shown(browser) == names
    choose(browser, "centre", "C1")
    assert shown(browser) == names[:2]
    choose(browser, "size", "small")
    assert shown(browser) == names[:1]
    choose(browser, "size", "")
    choose(browser, "search", "script>1")
    assert shown(browser) == names[1:2]
    assert browser.find_element("id", "count").text == "1 of 3 cases"
    choose(browser, "search", "")
    browser.find_elements("css selector", ".card")[0].click()
    facts = browser.find_element("id", "facts")
    assert facts.text.startswith("case</script>0 · 1 of 2 · Dice 1.0000")
    browser.find_element("id", "next").click()
    assert facts.text.startswith("case</script>1 · 2 of 2 · Dice 0.")
    wait_for_panels_of(browser, "00001.jpg")
    errors = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert errors == []


def test_pictures_load_only_when_near(browser, make_report, make_case, tmp_path):
    case = make_case(disc(24, 12), disc(24, 10))
    one = score_cases([case], build_protocols(["pvtseg"]))
    many = 1500
    scores = SetScores(
        protocols=one.protocols,
        threshold=0.5,
        cases=[
            {**one.cases[0], "name": f"case{i}", "dice": i / many} for i in range(many)
        ],
        statistics={"pvtseg": np.repeat(one.statistics["pvtseg"], many, axis=0)},
        calibration=one.calibration,
        curves=one.curves,
    )
    gallery = Gallery(tmp_path, threshold=0.5)
    gallery.add(case)
    for index in range(1, many):
        shutil.copy(gallery.folder / "00000.jpg", gallery.folder / picture_name(index))
    case_set = SimpleNamespace(name="many", path=tmp_path)
    browser.get(make_report.write(case_set, scores).as_uri())
    assert len(shown(browser)) == many
    state = "return [...document.images].filter(image => image.complete).length"
    assert browser.execute_script(state) < many / 5
    opened = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    assert browser.execute_script(opened) < 5000  # milliseconds
    start = "const start = performance.now();"
    choose(browser, "sort", "name")
    sorting = f"{start} update(); return performance.now() - start"
    assert browser.execute_script(sorting) < 2000
