from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from datagen import report_figures
from datagen.report import write_report
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
    assert len(page.sources) > 8


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
    assert "raised an error" in row[3]


@pytest.mark.parametrize(
    "values", [[], [0.0], [60.0, 60.00000000000001], [np.nan, 1.0], [0.0, 0.0], [1e9, 1e9], [1.0, 2.0]]
)
@pytest.mark.parametrize("log", [False, True])
def test_histograms_take_any_values(values: list[float], log: bool) -> None:
    figure = report_figures.histograms({"some": np.array(values)}, log=log)
    assert report_figures.as_data_uri(figure).startswith("data:image/png;base64,")


def test_titles_are_no_formulas() -> None:
    patterns = np.zeros((1, 8))
    figure = report_figures.sample_patterns(np.arange(8.0), [("$x_{ costs $5", 3, patterns)])
    assert report_figures.as_data_uri(figure)
