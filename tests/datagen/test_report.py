from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from datagen.inspect import report_figures
from datagen.inspect.report import write_report
from tests.datagen.small_runs import Made, make, misbehave


class Page(HTMLParser):
    """Every cell of every table, the tiles, and the tags used."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.rows and self.rows[-1] and self.tags[-1] == "td":
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page(made: Made) -> Page:
    return Page((made.dataset / "report.html").read_text(encoding="utf-8"))


def test_every_input_is_counted(page: Page) -> None:
    assert page.words[page.words.index("inputs") - 1] == "7"
    assert page.words[page.words.index("accepted") - 1] == "6"
    assert page.words[page.words.index("structures") - 1] == "5"
    assert page.words[page.words.index("patterns") - 1] == "15"
    assert page.words[page.words.index("densities") - 1] == "1"


def test_every_refusal_is_named_and_explained(page: Page) -> None:
    (row,) = [row for row in page.rows if row and row[0] == "no_cell"]
    assert row[1:3] == ["1", "14.3%"]
    assert row[3].endswith(".")
    assert any("wrong_composition" in word for word in page.words)


def test_it_is_one_file_without_scripts(page: Page) -> None:
    assert "script" not in page.tags
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert page.tags.count("svg") > 5
    assert page.tags.count("img") == 1  # the density


def test_what_came_from_outside_is_escaped(copied: Made) -> None:
    evil = "<script>alert(1)</script>"
    catalog = copied.config.catalog[0].model_copy(update={"name": evil, "licence": f"{evil} & sons"})
    dataset = copied.dataset.with_name("evil<b>.zarr")
    make(copied.config.model_copy(update={"catalog": (catalog,)}), dataset)
    text = write_report(dataset).read_text(encoding="utf-8")
    assert evil not in text
    assert "evil<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; sons" in text


def test_what_was_set_aside_is_explained(copied: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ArithmeticError("<i>no</i>")

    misbehave(monkeypatch, "Na", fail)
    dataset = copied.dataset.with_name("e.zarr")
    make(copied.config, dataset)
    page = Page(write_report(dataset).read_text(encoding="utf-8"))
    (row,) = [row for row in page.rows if row and row[0] == "simulation_failed"]
    assert row[1] == "1"
    assert "raised the error given as detail" in row[3]


@pytest.mark.parametrize(
    "values",
    [[], [0.0], [60.0, 60.00000000000001], [np.nan, 1.0], [0.0, 0.0], [1e9, 1e9], [1.0, 2.0], [3.1, 3.9], [1e-3, 1e5]],
)
@pytest.mark.parametrize("log", [False, True])
def test_histograms_take_any_values(values: list[float], log: bool) -> None:
    picture = ET.fromstring(report_figures.histograms({"some": np.array(values)}, log=log))
    outline = picture.find("path")
    assert outline is not None
    assert "nan" not in outline.attrib["d"]
    assert "inf" not in outline.attrib["d"]


@pytest.mark.parametrize("log", [False, True])
def test_a_histogram_is_as_high_as_its_values_are_many(log: bool) -> None:
    picture = ET.fromstring(report_figures.histograms({"x": np.array([1.0, 1.0, 1.0, 1.0, 100.0])}, log=log))
    heights = [float(height) for height in re.findall(r"V([\d.]+)H", picture.find("path").attrib["d"])]  # type: ignore[union-attr]
    base = max(heights)
    assert base - heights[0] == pytest.approx(4 * (base - heights[-1]), abs=0.2)
    assert heights[1:-1] == [base] * (report_figures.N_BINS - 2)


def test_ticks_are_round_numbers_in_their_places() -> None:
    picture = ET.fromstring(report_figures.histograms({"x": np.array([0.0, 10.0])}, n_columns=1))
    words = {text.text: float(text.attrib["x"]) for text in picture.iter("text")}
    assert set(words) == {"x", "0", "2.5", "5", "7.5", "10"}
    assert words["5"] - words["0"] == pytest.approx(words["10"] - words["5"], abs=0.2)


def test_the_ring_gives_everyone_the_share_that_is_theirs() -> None:
    picture = ET.fromstring(report_figures.space_group_ring(np.array([225] * 3 + [62])))
    words = [text.text for text in picture.iter("text")]
    assert words == ["62", "225", "orthorhombic", "25%", "cubic", "75%", "4", "structures", "2 groups"]
    cubic = [path.attrib["d"] for path in picture.iter("path")][1]
    assert cubic.startswith("M200.00 -0.00A200 200 0 1 1 -0.00 -200.00")


def test_a_ring_of_one_group_is_whole() -> None:
    picture = ET.fromstring(report_figures.space_group_ring(np.array([62, 62])))
    assert [path.attrib["d"].count("A") for path in picture.iter("path")] == [4, 4]


def test_a_curve_keeps_every_point_that_is_not_level() -> None:
    pattern = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    picture = ET.fromstring(report_figures.sample_patterns(np.arange(8.0), [("x", 1, pattern[None])]))
    points = picture.find("path").attrib["d"].removeprefix("M").split("L")  # type: ignore[union-attr]
    assert len(points) == 5
    assert [float(point.split()[1]) for point in points] == [128.0, 128.0, 26.0 - 3.0, 128.0, 128.0]


def test_titles_are_no_markup() -> None:
    picture = report_figures.sample_patterns(np.arange(8.0), [("$x_{ <b> & 5", 3, np.zeros((1, 8)))])
    assert "$x_{ <b> & 5" in [text.text for text in ET.fromstring(picture).iter("text")]
