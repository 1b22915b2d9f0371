// Three slices of an electron density, each in the shape of its plane of the cell.
import { surface, viridis } from "./canvas";
import type { Dataset, Values } from "./dataset";
import { el, node, number } from "./format";

const AXES = ["a", "b", "c"];

export class Density {
  private values: Values = [] as unknown as Values;
  private lattice: number[][] = [];
  private points = 0;
  private range: [number, number] = [0, 1];
  private readonly canvases: HTMLCanvasElement[] = [];
  private readonly sliders: HTMLInputElement[] = [];

  constructor() {
    AXES.forEach((axis, k) => {
      const canvas = node("canvas"), slider = node("input"), position = node("span");
      slider.type = "range";
      slider.min = "0";
      slider.value = "0";
      slider.addEventListener("input", () => this.draw(k));
      canvas.role = "img";
      const label = node("label", [node("span", `Along ${axis}: `), position, slider]);
      el("slices").append(node("div", [canvas, label], "slice"));
      this.canvases.push(canvas);
      this.sliders.push(slider);
      new ResizeObserver(() => this.draw(k)).observe(canvas);
    });
  }

  /** Read and show the density of a row; say why where there is none. */
  async show(dataset: Dataset, row: number): Promise<void> {
    this.points = 0;
    el("slices").hidden = true;
    el("density-note").textContent = "Reading …";
    if (!(await dataset.row("has_density", row))[0]) {
      const reason = dataset.meaning("density_reason", (await dataset.row("density_reason", row))[0]);
      el("density-note").textContent = `This structure has no density: ${reason}.`;
      return;
    }
    const [values, lattice, electrons] = await Promise.all(["density", "density_lattice", "density_electrons"].map((name) => dataset.row(name, row)));
    this.values = values;
    this.lattice = [0, 3, 6].map((at) => Array.from(lattice.subarray(at, at + 3)));
    this.points = dataset.arrays.density.shape[1];
    let low = 0, high = 0; // where the least and the largest value are
    for (let i = 0; i < values.length; i++) {
      if (values[i] < values[low]) low = i;
      if (values[i] > values[high]) high = i;
    }
    this.range = [values[low], values[high]];
    const n = this.points, largest = [Math.floor(high / (n * n)), Math.floor(high / n) % n, high % n];
    this.sliders.forEach((slider, k) => {
      slider.max = String(n - 1);
      slider.value = String(largest[k]);
    });
    el("density-note").textContent =
      `${number(this.range[0], 3)} (dark) to ${number(this.range[1], 3)} (bright) e Å⁻³, colours by square root; ${number(electrons[1])} electrons in the cell ` +
      `(${number(electrons[0])} before resampling). ${dataset.attribute("density", "long_name")}.`;
    el("slices").hidden = false;
    this.redraw();
  }

  redraw(): void { AXES.forEach((_, k) => this.draw(k)); }

  private draw(k: number): void {
    const n = this.points, at = Number(this.sliders[k].value), [i, j] = [0, 1, 2].filter((axis) => axis !== k);
    const on = n ? surface(this.canvases[k]) : null;
    if (!on) return;
    this.canvases[k].ariaLabel = `Slice of the density at ${AXES[k]} = ${at}/${n}, spanned by ${AXES[i]} and ${AXES[j]}`;
    (this.sliders[k].previousElementSibling as HTMLElement).textContent = `${at}/${n}`;
    const image = document.createElement("canvas"), strides = [n * n, n, 1], [low, high] = this.range;
    image.width = image.height = n;
    const pixels = new ImageData(n, n), span = high > low ? high - low : 1;
    for (let q = 0; q < n; q++) for (let p = 0; p < n; p++) {
      const value = this.values[at * strides[k] + p * strides[i] + q * strides[j]];
      pixels.data.set([...viridis(Math.sqrt((value - low) / span)), 255], 4 * (q * n + p));
    }
    image.getContext("2d")!.putImageData(pixels, 0, 0);
    const [u, v] = [this.lattice[i], this.lattice[j]], long = (w: number[]) => Math.hypot(...w);
    const cosine = u.reduce((sum, c, axis) => sum + c * v[axis], 0) / (long(u) * long(v)), angle = Math.acos(cosine);
    // u to the right, v upwards at their angle
    const [ux, vx, vy] = [long(u), long(v) * Math.cos(angle), long(v) * Math.sin(angle)];
    const wide = ux + Math.abs(vx), margin = 16, scale = Math.min((on.width - 2 * margin) / wide, (on.height - 2 * margin) / vy);
    const left = (on.width - wide * scale) / 2 + Math.max(0, -vx) * scale, bottom = (on.height + vy * scale) / 2;
    on.c.save();
    on.c.transform((ux * scale) / n, 0, (vx * scale) / n, (-vy * scale) / n, left, bottom);
    on.c.imageSmoothingEnabled = false;
    on.c.drawImage(image, 0, 0);
    on.c.restore();
    on.c.fillStyle = on.colour("--muted");
    on.c.textAlign = "center";
    on.c.fillText(AXES[i], left + (ux * scale) / 2, Math.min(bottom + 13, on.height - 2));
    on.c.fillText(AXES[j], left + (vx * scale) / 2 - 9, bottom - (vy * scale) / 2);
  }
}
