"""The page of `datagen browse` in Chromium: values, filters, keys, hostile names, damage, other servers, bytes."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datagen
from curation.crystal import Crystal
from datagen.inspect.browse.page import page_bytes
from datagen.inspect.browse.serve import BrowseServer
from datagen.inspect.regenerate import simulation_settings, structure_of
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.publish import publish, publish_to_url
from datagen.simulate.sticks import compute_sticks
from datagen.store import ledger, zarr_store
from datagen.store.quantise import quantise
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter
from tests.datagen import datasets, small_runs
from tests.datagen.chromium import Browser, chromium
from tests.measured.scans import collection
from tests.share.servers import s3_server, web_server

STATE = "document.documentElement.dataset"
HOSTILE = "<img src=x onerror=document.title='ran'><script>document.title='ran'</script>"
INSTRUMENT = {
    **small_runs.INSTRUMENT,
    "lines": [{"wavelength_A": 1.5405929, "weight": 2.0}, {"wavelength_A": 1.5444274, "weight": 1.0}],
    "polarisation": 0.5,
    "two_theta_min_deg": 20.0,
    "two_theta_max_deg": 90.0,
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four crystals with two wavelengths, shifts and texture; one has a density."""
    folder = tmp_path_factory.mktemp("page")
    cifs = small_runs.write_cifs(folder / "cifs", ["halite", "quartz", "rutile", "aragonite"])
    density = small_runs.EXAMPLES / "densities" / "quartz.CHGCAR.gz"
    (cifs / density.name).write_bytes(density.read_bytes())
    simulation = {"instrument": INSTRUMENT, "augmentation": {"preset": "realistic", "count": 3}}
    small_runs.make(small_runs.config_of(cifs, simulation=simulation), folder / "d.zarr")
    return folder / "d.zarr"


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browsed(browser: Browser, dataset: Path, where: str = "", beside: Path | None = None) -> Iterator[None]:
    """Open a dataset and wait until all of it is shown."""
    with serving(BrowseServer(dataset, beside)) as server:
        assert isinstance(server, BrowseServer)
        browser.open(server.url + where)
        browser.until(f"['ready', 'failed'].includes({STATE}.state)")
        yield


def facts(browser: Browser, selector: str) -> dict[str, str]:
    terms = f"[...document.querySelectorAll('{selector} dt')]"
    return dict(browser.run(f"{terms}.map(n => [n.textContent, n.nextElementSibling.textContent])"))


def listed(browser: Browser) -> list[str]:
    return list(browser.run("[...document.querySelectorAll('#list .formula')].map(n => n.textContent)"))


def row_of(dataset: Path, name: str) -> int:
    return int(datagen.open_dataset(dataset).source_id.values.tolist().index(f"{name}.cif"))


def test_labels_draws_and_reflections_are_those_of_the_dataset(browser: Browser, made: Path) -> None:
    row = row_of(made, "aragonite")
    dataset = datagen.open_dataset(made).isel(structure=row)
    with browsed(browser, made, f"#row={row}&augmentation=2"):
        assert browser.complaints() == []
        assert browser.text("#title") == "CaCO₃"
        assert browser.text("#subtitle").startswith("P n m a (62) · orthorhombic · ")
        labels, draws = facts(browser, "#labels"), facts(browser, "#draws")
        assert labels["Structure hash"] == str(dataset.structure_hash.values)
        assert labels["Licence"] == "CC0-1.0"
        for name in ("microstrain", "zero_shift_deg", "march_r", "pattern_max"):
            shown = draws[dataset[name].attrs["long_name"]].split("°")[0].split()[0].replace("−", "-")
            assert float(shown.replace(",", "")) == pytest.approx(float(dataset[name][2]), rel=1e-3), name
        rows = "[...document.querySelectorAll('#reflections-rows tr')]"
        cells = browser.run(f"{rows}.map(r => [...r.cells].map(c => c.textContent))")
    crystal = Crystal.from_json(structure_of(made, row)["structure"])
    sticks = compute_sticks(crystal, simulation_settings(made).instrument)
    engine = sticks.two_theta_deg[sticks.line == 0], sticks.intensity[sticks.line == 0] / sticks.intensity.max()
    page = tuple(np.array([float(cell[k].replace("−", "-")) for cell in cells]) for k in (2, 3))
    assert len(page[0]) > 20

    def near(where: tuple[np.ndarray[Any, Any], ...], angle: float) -> float:
        return float(where[1][np.abs(where[0] - angle) < 2e-3].sum())  # the engine merges peaks that coincide

    for angle in engine[0]:
        assert near(page, angle) / 100 == pytest.approx(near(engine, angle), abs=2e-3), angle


def test_the_pattern_under_the_cursor_is_the_stored_one(browser: Browser, made: Path) -> None:
    row = row_of(made, "quartz")
    dataset = datagen.open_dataset(made).isel(structure=row)
    with browsed(browser, made, f"#row={row}"):
        for augmentation in (0, 1):
            browser.fill("#augmentation", str(augmentation))
            browser.press("ArrowRight", "#plot")
            shown = browser.text("#readout")
            angle, value = (float(shown.split(mark)[0].split()[-1].strip("°")) for mark in ("° ·", " of the maximum"))
            at = int(np.abs(dataset.two_theta.values - angle).argmin())
            near = dataset.pattern[augmentation].values[at - 1 : at + 2]
            assert near.min() - 1e-3 <= value <= near.max() + 1e-3
            assert "nearest reflection" in shown
            browser.press("Escape")
        assert "augmentation=1" in browser.run("location.hash")


def test_filters_find_what_they_say(browser: Browser, made: Path) -> None:
    dataset = datagen.open_dataset(made)
    splits = dataset.split.values.tolist()
    with browsed(browser, made):
        assert sorted(listed(browser)) == ["CaCO₃", "NaCl", "SiO₂", "TiO₂"]
        for field, value, found in (
            ("formula", "o2", ["SiO₂", "TiO₂"]),
            ("element", "o -c", ["SiO₂", "TiO₂"]),
            ("element", "Na, cl", ["NaCl"]),
            ("group", "225", ["NaCl"]),
            ("group", "62-154", ["CaCO₃", "SiO₂", "TiO₂"]),
            ("group", "fm-3m", ["NaCl"]),
            ("group", "P 42/m n m", ["TiO₂"]),
            ("group", "nonsense", []),
            ("system", "7", ["NaCl"]),
            ("identifier", "RUTILE", ["TiO₂"]),
        ):
            browser.fill(f"[name={field}]", value)
            browser.until(f"document.querySelector('#count').textContent.startsWith('{len(found)} of 4')")
            assert sorted(listed(browser)) == found, (field, value)
            browser.run("document.querySelector('#clear').click()")
        browser.fill("[name=split]", "0")
        assert browser.text("#count") == f"{splits.count(0)} of 4 structures"
        assert browser.complaints() == []


def test_everything_works_by_keyboard_and_the_address_brings_it_back(browser: Browser, made: Path) -> None:
    with browsed(browser, made):
        formulas = listed(browser)
        browser.press("ArrowDown", "#list")
        browser.until(f"{STATE}.shown === '1'")
        browser.press("End")
        browser.until(f"{STATE}.shown === '3'")
        assert browser.text("#title") == formulas[3]
        assert browser.run("document.querySelector('#list').getAttribute('aria-activedescendant')") == "row-3"
        assert browser.run("document.querySelector('#next').disabled") is True
        browser.press("ArrowRight", "#augmentation")
        assert browser.run("document.querySelector('#augmentation-number').value") == "1"
        before = browser.run("document.querySelector('#overview').toDataURL()")
        browser.drag("#plot", 0.3, 0.5)
        browser.press("0", "#plot")
        browser.press("+")
        assert browser.run("document.querySelector('#overview').toDataURL()") != before
        address = browser.run("location.href")
        browser.open(address)
        browser.until(f"{STATE}.state === 'ready'")
        assert browser.text("#title") == formulas[3]
        assert browser.run("document.querySelector('#augmentation').value") == "1"
        controls = "[...document.querySelectorAll('input, select, button')]"
        unnamed = f"{controls}.filter(e => !e.labels?.length && !e.ariaLabel && !e.textContent)"
        assert browser.run(f"{unnamed}.map(e => e.outerHTML)") == []


def test_a_density_is_shown_or_the_reason_why_not(browser: Browser, made: Path) -> None:
    row, other = row_of(made, "quartz"), row_of(made, "halite")
    dataset = datagen.open_dataset(made).isel(structure=row)
    with browsed(browser, made, f"#row={row}"):
        browser.run("document.querySelector('#density').open = true")
        browser.until("!document.querySelector('#slices').hidden")
        assert f"to {float(dataset.density.max()):.3g} (bright)" in browser.text("#density-note")
        painted = "(c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)"
        assert browser.run(f"{painted}(document.querySelector('#slices canvas'))") > 50
        browser.press("ArrowRight", "#slices input")
    with browsed(browser, made, f"#row={other}"):
        browser.run("document.querySelector('#density').open = true")
        browser.until("document.querySelector('#density-note').textContent.includes('no density')")
        assert "none given" in browser.text("#density-note")


def hostile(folder: Path) -> Path:
    labels = datasets.labels_of(4)
    texts = ("source", "source_id", "licence", "group", "formula")
    labels |= {name: [f"{HOSTILE}{i}" for i in range(4)] for name in texts}
    layout = Layout(**{**vars_of(datasets.layout_of(4)), "text_bytes": zarr_store.text_bytes(labels)})
    attributes = {**datasets.ATTRIBUTES, "title": HOSTILE, "publication": {"name": HOSTILE}}
    zarr_store.create(folder, layout, labels, datasets.TWO_THETA, attributes)
    for shard in range(layout.n_shards):
        datasets.write_shard(folder, layout, shard)
    zarr_store.finalise(folder, {})
    return folder


def vars_of(layout: Layout) -> dict[str, Any]:
    return {name: getattr(layout, name) for name in layout.__slots__}


def test_names_that_would_be_markup_are_text(browser: Browser, tmp_path: Path) -> None:
    dataset = hostile(tmp_path / f"{HOSTILE.replace('/', '_')}.zarr")
    with browsed(browser, dataset, f"#identifier={HOSTILE}", beside=dataset):
        assert browser.run(f"{STATE}.state") == "ready"
        assert browser.run("document.title") == browser.text("#name") == HOSTILE
        for selector in ("#title", "#list .formula", "#labels", "#beside-row"):
            # the formula shows its digits as subscripts
            assert "<img src=x onerror=document.title='ran'>" in browser.text(selector), selector
        browser.press("ArrowDown", "#list")
        browser.until(f"{STATE}.shown === '1'")
        assert browser.run("document.querySelectorAll('img, iframe, object, script').length") == 1
        assert browser.run("document.title") == HOSTILE
        assert browser.complaints() == []


def test_nothing_is_requested_from_other_hosts(browser: Browser, made: Path) -> None:
    with browsed(browser, made):
        own = str(browser.run("location.origin"))
        assert all(address.startswith((own, "about:")) for address in browser.addresses())
        assert browser.run("fetch('http://localhost:1/').then(() => 'sent', (e) => e.constructor.name)") == "TypeError"
        assert any("Content Security Policy" in line for line in browser.complaints())
        browser.run("try { document.body.innerHTML = '<b>x</b>' } catch (e) { document.title = e.name }")
        assert browser.run("document.title") == "TypeError"  # trusted types: markup cannot be set at all


def test_reflections_alone_and_format_1_are_shown(browser: Browser, tmp_path: Path) -> None:
    datasets.make(tmp_path / "alone.zarr", 4, n_augmentations=0, n_lines=1)
    with browsed(browser, tmp_path / "alone.zarr", "#row=1"):
        assert (browser.complaints(), browser.text("#error")) == ([], "")
        assert browser.text("#pattern-title") == "Reflections on the instrument"
        assert browser.run("document.querySelector('#augmentations').hidden") is True
        assert int(browser.text("#reflections-count").split(",")[0]) == 6
    datasets.make(tmp_path / "old.zarr", 4, format_version=1)
    with browsed(browser, tmp_path / "old.zarr", "#row=3"):
        assert (browser.complaints(), browser.text("#error")) == ([], "")
        assert browser.text("#reflections-count").startswith("the strongest 500 of 1,300")


def test_measured_scans_are_shown_beside_simulated_patterns(browser: Browser, made: Path, tmp_path: Path) -> None:
    from datagen.config.measured import MeasuredSettings
    from datagen.measured.write import write_measured
    from datagen.simulate.instrument import Instrument

    instrument = Instrument.preset("cu_kalpha1").model_copy(update={"two_theta_max_deg": 89.0, "n_points": 1024})
    settings = MeasuredSettings.model_validate({"licence": "CC0-1.0"})
    write_measured(collection(tmp_path / "scans"), tmp_path / "scans.zarr", settings, instrument, "ours")
    row = row_of(made, "halite")
    with browsed(browser, made, f"#row={row}", beside=tmp_path / "scans.zarr"):
        assert browser.text("#beside-note").startswith("1 scan of the same formula and space group in scans.zarr")
        assert "salt.xy" in browser.text("#beside-row")
        assert "measured: scans.zarr" in browser.text("#legend")
        browser.run(f"document.querySelector('#row-{row_of(made, 'rutile')}').click()")
        browser.until("document.querySelector('#beside-note').textContent.includes('has no scan')")
        assert browser.complaints() == []
    scan = datagen.open_dataset(tmp_path / "scans.zarr").source_id.values.tolist().index("salt.xy")
    with browsed(browser, tmp_path / "scans.zarr", f"#row={scan}", beside=made):
        assert "halite.cif" in browser.text("#beside-row")
        assert browser.text("#scan-note").startswith("4,000 points")
        assert browser.complaints() == []


def test_lost_files_and_uncommitted_shards_are_errors_not_zeros(browser: Browser, tmp_path: Path) -> None:
    datasets.make(tmp_path / "d.zarr", 12)
    (tmp_path / "d.zarr" / "pattern" / "c" / "1" / "0" / "0").unlink()
    (tmp_path / "d.zarr" / "ledger" / "shard-00002.json").unlink()
    with browsed(browser, tmp_path / "d.zarr", "#row=4"):
        assert "pattern/c/1/0/0: not found (status 404)" in browser.text("#error")
        browser.run("document.querySelector('#row-8').click()")
        browser.until("document.querySelector('#error').textContent.includes('no receipt')")
        assert facts(browser, "#draws") == {}
        browser.run("document.querySelector('#row-0').click()")
        browser.until(f"{STATE}.shown === '0'")
        assert browser.run("document.querySelector('#error').hidden") is True
        assert facts(browser, "#labels")["Row"] == "0, in shard 0"
    (tmp_path / "d.zarr" / "formula" / "c" / "0" / "0").write_bytes(b"short")
    with browsed(browser, tmp_path / "d.zarr"):
        assert "formula/c/0/0: expected" in browser.text("#error")
        assert browser.run(f"{STATE}.state") == "failed"


@pytest.fixture(scope="module")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(made, folder / "four", Naming("Four crystals"), Terms(), page=True)
    publish(made, folder / "four-1.0.0.zarr.zip", Naming("Four crystals"), Terms(), page=True)
    return folder


def test_static_servers_show_folders_and_zips(browser: Browser, published: Path) -> None:
    for ranges, name in itertools.product((True, False), ("four/index.html", "four-1.0.0.html")):
        with web_server(published, ranges=ranges) as server:
            (published / "index.html").write_bytes(page_bytes())
            browser.open(f"{server.url}/{name}#row=1")
            browser.until(f"['ready', 'failed'].includes({STATE}.state)")
            assert (browser.text("#error"), browser.text("#name")) == ("", "Four crystals")
            assert browser.text("#count") == "4 of 4 structures"
            assert facts(browser, "#labels")["Row"].startswith("1, in shard")
            asked = [Path(path).name for path, _ in server.seen]
            assert "curation.parquet" not in asked
            assert ("four-1.0.0.zarr.zip" in asked) == (name == "four-1.0.0.html")


def test_a_server_without_ranges_is_refused_before_a_large_file_is_fetched(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "large.zarr.zip").write_bytes(bytes(9 << 20))
    (tmp_path / "large.html").write_bytes(page_bytes())
    (tmp_path / "cut.zarr.zip").write_bytes(b"PK")
    with web_server(tmp_path, ranges=False) as server:
        browser.open(f"{server.url}/large.html")
        browser.until(f"{STATE}.state === 'failed'")
        assert "does not support HTTP range requests, and the file has 9437184 bytes" in browser.text("#error")
        browser.open(f"{server.url}/large.html?data=cut.zarr.zip")
        browser.until(f"{STATE}.state === 'failed'")
        assert "is not a whole zip: its end is missing" in browser.text("#error")
        browser.open(f"{server.url}/large.html?data=http://localhost:1/d.zarr")
        browser.until(f"{STATE}.state === 'failed'")
        assert "expected a dataset on this page's own server" in browser.text("#error")
    browser.open((tmp_path / "large.html").as_uri())
    browser.until(f"{STATE}.state === 'failed'")
    assert "Open the dataset with: datagen browse FOLDER" in browser.text("#error")


def test_an_object_store_shows_it(browser: Browser, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    boto3 = pytest.importorskip("boto3")
    with s3_server() as bucket:
        publish_to_url(made, f"{bucket}/four", Naming("Four crystals"), Terms(), page=True)
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        client = boto3.client("s3", endpoint_url=endpoint)
        for entry in client.list_objects_v2(Bucket="bucket")["Contents"]:
            client.put_object_acl(Bucket="bucket", Key=entry["Key"], ACL="public-read")
        browser.open(f"{endpoint}/bucket/four/index.html#row=2")
        browser.until(f"['ready', 'failed'].includes({STATE}.state)")
        assert (browser.text("#error"), browser.text("#name")) == ("", "Four crystals")
        assert facts(browser, "#labels")["Row"].startswith("2, in shard")


def large(folder: Path, n: int = 7400, points: int = 8192) -> int:
    """Write a dataset of 1.6 GB in the time of one shard: all shards' files are links to those of the first.

    Labels have their real sizes, and a structure's patterns the bytes of real ones.
    """
    rng = np.random.default_rng(0)
    labels = datasets.labels_of(n)
    elements = ("Na", "Mg", "Al", "Si", "K", "Ca", "Ti", "Fe", "O", "S", "Cl", "F")
    chosen = [rng.choice(elements, 4, replace=False) for _ in range(n)]
    labels["formula"] = ["".join(f"{e}{n}" for e, n in zip(c, rng.integers(1, 9, 4), strict=True)) for c in chosen]
    labels["structure_hash"] = [rng.bytes(16).hex() for _ in range(n)]
    labels["space_group"] = rng.integers(1, 231, n)
    layout = Layout(
        n_structures=n, n_augmentations=100, n_points=points, structures_per_shard=128,
        shard_reflections=128 * 194, text_bytes=zarr_store.text_bytes(labels), draws=datasets.draws(),
    )  # fmt: skip
    two_theta = np.linspace(5.0, 20.0, points)
    zarr_store.create(folder, layout, labels, two_theta, datasets.ATTRIBUTES)
    pattern, maximum = quantise(sum_of_peaks(rng, two_theta))
    with ShardWriter(folder, layout, 0) as writer:
        for _ in layout.rows(0):
            values = {
                "pattern": pattern,
                "pattern_max": maximum,
                "overlap": rng.random(100, dtype=np.float32),
                "n_variance_floor": rng.integers(0, 9, 100),
                "reflection_d": -np.sort(-rng.uniform(1, 9, 194)).astype(np.float32),
                "reflection_f2": rng.random(194, dtype=np.float32),
                "reflection_hkl": rng.integers(-9, 9, (194, 3)),
                "rotations": np.zeros((24, 3, 3), dtype=np.int8),
            }
            writer.add(values | {draw.name: rng.random(100) for draw in layout.draws})
        first = writer.commit("key")
    for shard in range(1, layout.n_shards):
        linked = {}
        for name, entry in first.files.items():
            variable, _, _, *rest = name.split("/")
            linked["/".join((variable, "c", str(shard), *rest))] = entry
            target = folder / "/".join((variable, "c", str(shard), *rest))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(folder / name)
        receipt = ledger.Receipt(shard, "key", layout.rows(shard).start, len(layout.rows(shard)), 0, linked)
        ledger.commit(folder, receipt)
    zarr_store.finalise(folder, {})
    return sum(receipt.size for receipt in ledger.committed(folder).values())


def sum_of_peaks(rng: np.random.Generator, two_theta: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 100 patterns of 120 peaks whose widths differ; they compress to 220 kB, as real ones do."""
    places, heights, widths = rng.uniform(5, 20, 120), rng.random(120) ** 2, rng.uniform(0.004, 0.02, 100)
    square = ((two_theta[None, :] - places[:, None]) ** 2).astype(np.float32)
    return np.stack([(heights[:, None] / (1 + square / w**2)).sum(axis=0) for w in widths.astype(np.float32)])


def test_a_dataset_of_1_6_gb_shows_its_first_pattern_with_less_than_2_mb(browser: Browser, tmp_path: Path) -> None:
    assert large(tmp_path / "large.zarr") > 1.6e9
    with serving(BrowseServer(tmp_path / "large.zarr")) as server:
        assert isinstance(server, BrowseServer)
        browser.open(server.url + "#row=5000")
        browser.until(f"{STATE}.state !== undefined")
        first = browser.bytes_received()  # what was read meanwhile for labels and draws is counted too
        browser.until(f"{STATE}.state === 'ready'")
        assert browser.text("#count") == "7,400 of 7,400 structures"
        everything = browser.bytes_received()
    print(f"first pattern {first:,} bytes, everything shown {everything:,} bytes")
    assert 200_000 < first < 2_000_000
    assert everything < 4_000_000
