// The page: which dataset, which structure, which pattern.
import { Beside } from "./beside";
import { Dataset } from "./dataset";
import { Density } from "./density";
import { drawFacts, drawOf, labelFacts, list } from "./facts";
import { traffic } from "./files";
import { find, Labels, NO_FILTERS, type Filters } from "./finder";
import { bytesText, count, el, formulaText, groupText, node, number } from "./format";
import { StructureList } from "./list";
import { Overview } from "./overview";
import { readPatterns } from "./patterns";
import { Plot, type Scale } from "./plot";
import { readSticks, shifted, spacing, type Stick } from "./reflections";
import { Scan } from "./scan";

const SYSTEMS = ["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"];
const SPLITS = ["train", "validation", "test"];
const REFLECTIONS_SHOWN = 500;

/** Address of a dataset on this server: of the parameter in the page's own address, or else where the page is. */
function address(parameter: string): string | null {
  if (location.protocol === "file:")
    throw new Error("A browser does not let a page read the files beside it. Open the dataset with: datagen browse FOLDER, or put it on a web server.");
  const own = /([^/]+)\.html$/.exec(location.pathname)?.[1];
  const given = new URLSearchParams(location.search).get(parameter);
  if (given === null && parameter !== "data") return null;
  const url = new URL(given ?? (own && own !== "index" ? `${own}.zarr.zip` : "."), location.href);
  if (url.origin !== location.origin) throw new Error(`${url.href}: expected a dataset on this page's own server, ${location.origin}.`);
  return url.origin + (/(\.zip|\/)$/.test(url.pathname) ? url.pathname : `${url.pathname}/`);
}

function fail(error: unknown): void {
  el("error").textContent = error instanceof Error ? error.message : String(error);
  el("error").hidden = false;
}

class Page {
  private row = -1;
  private augmentation = 0;
  private patterns: Float32Array[] = [];
  private sticks: Stick[] = [];
  private shift = [0, 0];
  private beside: Beside | null = null;
  private filters: Filters = { ...NO_FILTERS };
  private readonly labels: Labels;
  private readonly list: StructureList;
  private readonly plot: Plot;
  private readonly overview: Overview;
  private readonly density: Density | null;
  private readonly scan: Scan | null;

  constructor(private readonly dataset: Dataset, private readonly angles: ArrayLike<number>) {
    this.labels = new Labels(dataset);
    const choose = (row: number) => void this.show(row);
    this.list = new StructureList(el("list"), (row) => [formulaText(this.labels.formula[row]), this.about(row)], choose);
    this.plot = new Plot(el("plot"), (x) => this.read(x), ([a, b]) => {
      const [low, high] = this.range;
      this.overview.look([(a - low) / (high - low), (b - low) / (high - low)]);
    });
    this.overview = new Overview(el("overview"), (a) => this.choose(a));
    this.density = dataset.has("density") ? new Density() : null;
    this.scan = dataset.measured ? new Scan() : null;
    el("density-card").hidden = !this.density;
    el("scan").hidden = !this.scan;
    el("augmentations").hidden = dataset.layout.n_augmentations < 2;
    el("draws-card").hidden = !dataset.hasPatterns || dataset.measured;
    if (!dataset.hasPatterns) el("pattern-title").textContent = "Reflections on the instrument";
    if (dataset.measured) el("pattern-title").textContent = "Measured pattern";
    this.describe();
    this.listen();
  }

  private get range(): [number, number] { return [this.angles[0], this.angles[this.angles.length - 1]]; }

  private describe(): void {
    const { dataset } = this, { layout, instrument } = dataset;
    const lines = instrument.lines.map((line) => `${number(line.wavelength_A, 6)} Å`).join(" and ");
    const what = dataset.measured ? "measured scans" : dataset.hasPatterns ? `structures, ${count(layout.n_augmentations)} patterns each` : "structures, reflections without patterns";
    el("name").textContent = document.title = dataset.title;
    el("about").textContent =
      `${count(layout.n_structures)} ${what}; ${lines}, ${number(this.range[0])}° to ${number(this.range[1])}°` +
      (dataset.attributes.complete ? "" : "; not complete: the run that makes it has not finished");
    SYSTEMS.forEach((name, i) => this.select("system").append(Object.assign(node("option", name), { value: String(i + 1) })));
    SPLITS.forEach((name, i) => this.select("split").append(Object.assign(node("option", name), { value: String(i) })));
    el<HTMLInputElement>("augmentation").max = el<HTMLInputElement>("augmentation-number").max = String(layout.n_augmentations - 1);
    el("augmentation-count").textContent = `of ${count(layout.n_augmentations)}, from 0`;
  }

  private select(name: string): HTMLSelectElement {
    return el<HTMLFormElement>("filters").elements.namedItem(name) as HTMLSelectElement;
  }

  private about(row: number): string {
    return `${groupText(this.labels.spaceGroup[row])} · ${SPLITS[this.labels.split[row]] ?? "no split"}`;
  }

  private listen(): void {
    el("filters").addEventListener("submit", (event) => event.preventDefault());
    el("filters").addEventListener("input", () => void this.filter().catch(fail));
    el("clear").addEventListener("click", () => { el<HTMLFormElement>("filters").reset(); void this.filter().catch(fail); });
    el("previous").addEventListener("click", () => this.step(-1));
    el("next").addEventListener("click", () => this.step(1));
    el("augmentation").addEventListener("input", (event) => this.choose(Number((event.target as HTMLInputElement).value)));
    el("augmentation-number").addEventListener("input", (event) => {
      if ((event.target as HTMLInputElement).value !== "") this.choose(Number((event.target as HTMLInputElement).value));
    });
    el("scale").addEventListener("change", (event) => {
      this.plot.scale = (event.target as HTMLSelectElement).value as Scale;
      this.plot.draw();
    });
    el("zoom-in").addEventListener("click", () => this.plot.zoom(2));
    el("zoom-out").addEventListener("click", () => this.plot.zoom(0.5));
    el("zoom-all").addEventListener("click", () => this.plot.zoomAll());
    el("density").addEventListener("toggle", () => void this.showDensity());
    el("toggle").addEventListener("click", () => this.openFinder(!el("finder").classList.contains("open")));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  private redraw(): void {
    this.plot.draw();
    this.overview.draw();
    this.density?.redraw();
    this.scan?.plot.draw();
  }

  private openFinder(open: boolean): void {
    el("finder").classList.toggle("open", open);
    el("toggle").ariaExpanded = String(open);
    el("toggle").textContent = open ? "Close" : "Find structures";
    if (open) this.list.select(this.row);
  }

  /** Read the first labels, show the structure that the address names, then read the other labels. */
  async start(beside: string | null): Promise<void> {
    const state = new URLSearchParams(location.hash.slice(1));
    await this.labels.more();
    for (const name of Object.keys(NO_FILTERS)) if (state.has(name)) this.select(name).value = state.get(name)!;
    const asked = Number(state.get("row") ?? NaN), row = asked >= 0 && asked < this.labels.total ? Math.floor(asked) : 0;
    while (this.labels.formula.length <= row) await this.labels.more();
    await this.filter();
    this.augmentation = Number(state.get("augmentation")) || 0;
    await this.show(state.has("row") ? row : (this.found[0] ?? 0));
    while (await this.labels.more()) await this.filter();
    if (beside) {
      this.beside = new Beside(await Dataset.open(beside), this.dataset, () => this.draw(), fail);
      await this.beside.show(this.row, () => true);
    }
    document.documentElement.dataset.state = "ready";
    this.count();
  }

  private found: number[] = [];

  private async filter(): Promise<void> {
    this.filters = Object.fromEntries(Object.keys(NO_FILTERS).map((name) => [name, this.select(name).value])) as unknown as Filters;
    if (this.filters.identifier.trim()) await this.labels.readIdentifiers();
    this.found = find(this.labels, this.filters);
    this.list.show(this.found);
    this.list.select(this.row, false);
    const read = this.labels.formula.length, total = this.labels.total;
    el("count").textContent = `${count(this.found.length)} of ${count(read)} ${this.dataset.measured ? "scans" : "structures"}${read < total ? `, ${count(total - read)} still being read` : ""}` +
      (this.list.cut ? ", too many to list; filter them" : "");
    el("clear").hidden = Object.values(this.filters).every((value) => value === "");
    this.remember();
    this.buttons();
  }

  private step(places: number): void {
    const row = this.list.step(places);
    if (row !== undefined && row !== this.row) void this.show(row);
  }

  private buttons(): void {
    const at = this.found.indexOf(this.row);
    el<HTMLButtonElement>("previous").disabled = at <= 0 && at !== -1 || !this.found.length;
    el<HTMLButtonElement>("next").disabled = at === this.found.length - 1 || !this.found.length;
  }

  /** Keep row, pattern and filters in the address, so that it can be passed on. */
  private remember(): void {
    const kept = new URLSearchParams();
    if (this.row >= 0) kept.set("row", String(this.row));
    if (this.augmentation) kept.set("augmentation", String(this.augmentation));
    for (const [name, value] of Object.entries(this.filters)) if (value) kept.set(name, value);
    history.replaceState(null, "", `#${kept}`);
  }

  private async show(row: number): Promise<void> {
    const current = () => this.row === row, { dataset } = this;
    // What cannot be read is left empty: values of the structure before must not remain.
    const part = (work: Promise<unknown>, empty = () => {}) => work.catch((error) => { if (current()) { empty(); fail(error); } });
    this.row = row;
    this.patterns = [];
    this.sticks = [];
    el("error").hidden = true;
    el("structure").hidden = false;
    el("title").textContent = formulaText(this.labels.formula[row]);
    const system = this.labels.crystalSystem[row];
    el("subtitle").textContent = [groupText(this.labels.spaceGroup[row]), SYSTEMS[system - 1] ?? "crystal system unknown", SPLITS[this.labels.split[row]] ?? "no split"].join(" · ");
    this.list.select(row);
    if (matchMedia("(max-width: 800px)").matches) this.openFinder(false);
    this.remember();
    this.buttons();
    if (dataset.hasPatterns)
      await part(readPatterns(dataset, row).then((patterns) => {
        if (!current()) return;
        this.patterns = patterns;
        this.overview.show(patterns);
        this.choose(this.augmentation);
        performance.mark("first pattern");
        document.documentElement.dataset.state ??= "pattern";
      }), () => { this.overview.show([]); el("draws").replaceChildren(); this.draw(); });
    await Promise.all([
      part(readSticks(dataset, row).then((sticks) => { if (current()) { this.sticks = sticks; this.draw(); this.table(); } }), () => this.table()),
      part(labelFacts(dataset, row).then((facts) => { if (current()) el("labels").replaceChildren(...list(facts)); }), () => el("labels").replaceChildren()),
      part(this.showDensity()),
      this.scan ? part(this.scan.show(dataset, row, current)) : null,
      this.beside ? part(this.beside.show(row, current)) : null,
    ]);
    this.count();
    document.documentElement.dataset.shown = String(row);
  }

  private choose(augmentation: number): void {
    const last = Math.max(0, this.dataset.layout.n_augmentations - 1), row = this.row;
    const a = Math.max(0, Math.min(last, Math.round(augmentation) || 0));
    this.augmentation = a;
    el<HTMLInputElement>("augmentation").value = String(a);
    if (document.activeElement !== el("augmentation-number")) el<HTMLInputElement>("augmentation-number").value = String(a);
    this.overview.choose(a);
    this.shift = [0, 0];
    this.draw();
    this.remember();
    const { dataset } = this, current = () => this.row === row && this.augmentation === a;
    if (dataset.measured || !dataset.hasPatterns) return;
    Promise.all([drawFacts(dataset, row, a), drawOf(dataset, "zero_shift_deg", row, a), drawOf(dataset, "displacement_um", row, a)])
      .then(([facts, ...shift]) => {
        if (!current()) return;
        el("draws").replaceChildren(...list(facts));
        this.shift = shift;
        this.draw();
        this.count();
      })
      .catch((error) => { if (current()) { el("draws").replaceChildren(); fail(error); } });
  }

  private draw(): void {
    const { dataset, angles } = this, pattern = this.patterns[this.augmentation], beside = this.beside?.curve;
    const kind = dataset.measured ? "measured" : "simulated", lines = dataset.instrument.lines;
    const curves = pattern ? [{ x: angles, y: pattern, label: beside ? `${kind}: ${dataset.title}` : "pattern", colour: "--accent" }] : [];
    const sticks = this.sticks.map((s) => ({
      x: shifted(s.twoThetaDeg, dataset.instrument, this.shift[0], this.shift[1]), height: s.area, colour: s.line ? "--stick-2" : "--stick",
    }));
    this.plot.show({
      curves: beside ? [beside, ...curves] : curves, sticks, range: this.range,
      yLabel: dataset.hasPatterns || beside ? "of the maximum" : "area, of the largest",
    });
    const peak = pattern ? pattern.reduce((best, value, i) => (value > pattern[best] ? i : best), 0) : 0;
    el("plot").ariaLabel = pattern
      ? `Pattern ${this.augmentation} of ${el("title").textContent} over 2 theta, highest at ${number(angles[peak])} degrees, with ${sticks.length} reflections`
      : `${sticks.length} reflections of ${el("title").textContent} over 2 theta`;
    const key = (colour: string, className: string, label: string) => {
      const mark = node("span", "", `key ${className}`);
      mark.style.background = `var(${colour})`;
      return node("span", [mark, label]);
    };
    const sticksOf = lines.slice(0, 2).map((line, i) => key(i ? "--stick-2" : "--stick", "stick", lines.length > 1 ? `reflections, ${number(line.wavelength_A, 6)} Å` : "reflections"));
    el("legend").replaceChildren(...[...curves, ...(beside ? [beside] : [])].map((c) => key(c.colour, "", c.label)), ...(sticks.length ? sticksOf : []));
  }

  /** Say what is under the cursor. */
  private read(x: number | null): void {
    el("readout").ariaLive = document.activeElement === el("plot") ? "polite" : "off"; // read aloud what keys point at
    if (x === null) { el("readout").textContent = "Point at the pattern for its values. Drag to zoom, double-click to see all."; return; }
    const { angles, sticks } = this, wavelength = this.dataset.instrument.lines[0].wavelength_A;
    const [low, high] = this.range, at = Math.round(((x - low) / (high - low)) * (angles.length - 1));
    const pattern = this.patterns[this.augmentation];
    const near = sticks.reduce<Stick | null>((best, s) => (!best || Math.abs(s.twoThetaDeg - x) < Math.abs(best.twoThetaDeg - x) ? s : best), null);
    const hkl = near?.reflection.hkl ? ` ${near.reflection.hkl}` : "";
    el("readout").textContent = [
      `2θ ${x.toFixed(3)}°`, `d ${spacing(x, wavelength).toFixed(4)} Å`,
      pattern ? `${number(pattern[at], 3)} of the maximum` : "",
      near ? `nearest reflection${hkl} at ${near.twoThetaDeg.toFixed(3)}°, ${number(near.area * 100, 3)} %` : "",
    ].filter(Boolean).join(" · ");
  }

  private table(): void {
    const strongest = this.sticks.filter((s) => s.line === 0).sort((a, b) => b.area - a.area);
    const shown = strongest.slice(0, REFLECTIONS_SHOWN).sort((a, b) => a.twoThetaDeg - b.twoThetaDeg);
    el("reflections-count").textContent = strongest.length > shown.length
      ? `the strongest ${shown.length} of ${count(strongest.length)}`
      : strongest.length ? `${strongest.length}, without preferred orientation` : "none stored: withheld by a licence, or unknown";
    el("reflections-rows").replaceChildren(...shown.map((s) => node("tr", [
      s.reflection.hkl, s.reflection.d.toFixed(4), s.twoThetaDeg.toFixed(4), number(s.area * 100, 3),
    ].map((cell) => node("td", cell)))));
  }

  private async showDensity(): Promise<void> {
    if (this.density && el<HTMLDetailsElement>("density").open) await this.density.show(this.dataset, this.row).catch(fail);
    this.count();
  }

  private count(): void {
    el("traffic").textContent = `${bytesText(traffic.bytes)} read in ${traffic.requests} requests.`;
  }
}

async function main(): Promise<void> {
  const where = address("data")!;
  const dataset = await Dataset.open(where);
  await new Page(dataset, await dataset.chunk("two_theta", [0])).start(address("beside"));
}

main().catch((error) => {
  fail(error);
  document.documentElement.dataset.state = "failed";
});
