// A second dataset beside the first: measured scans beside simulated patterns, or the reverse.
import type { Dataset } from "./dataset";
import { allTexts } from "./finder";
import { el, node, number } from "./format";
import { readPatterns } from "./patterns";
import type { Curve } from "./plot";

export class Beside {
  private rowsOf: Promise<Map<string, number[]>> | null = null;
  private patterns: Float32Array[] = [];
  private angles: ArrayLike<number> = [];

  constructor(readonly dataset: Dataset, private readonly first: Dataset, private readonly changed: () => void, fail: (e: unknown) => void) {
    el("beside").hidden = false;
    el("beside-title").textContent = dataset.measured ? "Measured, beside it" : "Simulated, beside it";
    el("beside-row").addEventListener("change", () => void this.read().catch(fail));
    for (const id of ["beside-augmentation", "beside-how"]) el(id).addEventListener("input", () => changed());
  }

  /** Offer the rows of the same formula and space group as a row of the first dataset. */
  async show(row: number, isCurrent: () => boolean): Promise<void> {
    this.patterns = [];
    this.rowsOf ??= this.index();
    const [group, hash] = await Promise.all(["group", "structure_hash"].map((name) => this.first.text(name, row)));
    const rows = group ? ((await this.rowsOf).get(group) ?? []) : [];
    const named = await Promise.all(rows.map(async (r) => {
      const [id, other] = await Promise.all(["source_id", "structure_hash"].map((name) => this.dataset.text(name, r)));
      return { r, id, same: other !== "" && other === hash };
    }));
    if (!isCurrent()) return;
    named.sort((a, b) => Number(b.same) - Number(a.same));
    el("beside-row").replaceChildren(...named.map(({ r, id, same }) =>
      Object.assign(node("option", `${id} (${same ? "the same crystal" : "same formula and space group"})`), { value: String(r) })));
    el("beside-choice").hidden = !rows.length;
    const kind = this.dataset.measured ? "scan" : "structure";
    el("beside-note").textContent = rows.length
      ? `${rows.length} ${kind}${rows.length > 1 ? "s" : ""} of the same formula and space group in ${this.dataset.title}; drawn above the pattern.${this.conversion}`
      : `${this.dataset.title} has no ${kind} of this formula and space group.`;
    await this.read();
  }

  /** The chosen pattern at the angles of the first dataset's wavelength. */
  get curve(): Curve | null {
    if (!this.patterns.length) return null;
    const chosen = Math.max(0, Math.min(this.patterns.length - 1, Number(el<HTMLInputElement>("beside-augmentation").value) || 0));
    return {
      x: this.angles,
      y: this.patterns[chosen],
      label: `${this.dataset.measured ? "measured" : "simulated"}: ${this.dataset.title}`,
      colour: "--second",
      lane: el<HTMLSelectElement>("beside-how").value === "apart" ? 1 : 0,
    };
  }

  private async read(): Promise<void> {
    const chosen = el<HTMLSelectElement>("beside-row").value;
    if (chosen !== "" && this.dataset.hasPatterns) {
      const [patterns, angles] = await Promise.all([readPatterns(this.dataset, Number(chosen)), this.dataset.chunk("two_theta", [0])]);
      if (el<HTMLSelectElement>("beside-row").value !== chosen) return;
      this.patterns = patterns;
      const [own, other] = [this.first, this.dataset].map((d) => d.instrument.lines[0].wavelength_A);
      this.angles = own === other ? angles : Float64Array.from(angles, (a) => (360 / Math.PI) * Math.asin((own / other) * Math.sin((a * Math.PI) / 360)));
      el("beside-augmentation-label").hidden = patterns.length < 2;
      el<HTMLInputElement>("beside-augmentation").max = String(patterns.length - 1);
    }
    this.changed();
  }

  private get conversion(): string {
    const [own, other] = [this.first, this.dataset].map((d) => d.instrument.lines[0].wavelength_A);
    return own === other ? "" : ` Its angles are converted from ${number(other, 6)} Å to ${number(own, 6)} Å.`;
  }

  private async index(): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>();
    (await allTexts(this.dataset, "group")).forEach((group, row) => {
      if (found.has(group)) found.get(group)!.push(row);
      else found.set(group, [row]);
    });
    return found;
  }
}
