// Stored patterns of a structure, relative to the maximum of each.
import type { Dataset } from "./dataset";

/** One array for each augmentation; NaN where nothing was written. */
export async function readPatterns(dataset: Dataset, row: number): Promise<Float32Array[]> {
  const stored = await dataset.row("pattern", row), attributes = dataset.arrays.pattern.attributes;
  const step = Number(attributes.scale_factor), fill = Number(attributes._FillValue);
  const points = dataset.arrays.pattern.shape[2];
  return Array.from({ length: stored.length / points }, (_, a) =>
    Float32Array.from({ length: points }, (_, i) => (stored[a * points + i] === fill ? NaN : stored[a * points + i] * step)));
}
