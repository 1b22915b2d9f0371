// A measured scan as it was measured: its own angles and intensities.
import type { Dataset } from "./dataset";
import { count, el, number } from "./format";
import { Plot } from "./plot";

export class Scan {
  readonly plot = new Plot(el("scan-plot"));

  async show(dataset: Dataset, row: number, isCurrent: () => boolean): Promise<void> {
    const [[n], [wavelength], [unit]] = await Promise.all(["n_scan_points", "scan_wavelength", "scan_unit"].map((name) => dataset.row(name, row)));
    const [angles, intensities] = await Promise.all(["scan_two_theta", "scan_intensity"].map((name) => dataset.run(name, row, 0, n)));
    if (!isCurrent()) return;
    const largest = intensities.reduce((a, b) => Math.max(a, b), 0), units = dataset.meaning("scan_unit", unit);
    this.plot.show({
      curves: [{ x: angles, y: intensities.map((value) => value / largest), label: "scan", colour: "--second" }],
      sticks: [], range: [angles[0], angles[n - 1]], yLabel: "of the maximum",
    });
    el("scan-plot").ariaLabel = `The scan as measured, ${n} points`;
    el("scan-note").textContent = `${count(n)} points, ${number(angles[0])}° to ${number(angles[n - 1])}°, wavelength ${number(wavelength, 6)} Å, maximum ${number(largest)} (${units}).`;
  }
}
