// Reflections of a structure: d, hkl and strength, and where they stand on an instrument.
import type { Dataset, Instrument } from "./dataset";

export interface Reflection {
  d: number;
  hkl: string;
  /** Multiplicity times |F|^2, for each line of the instrument; of format 1 only the area is known. */
  f2: number[];
}

export interface Stick {
  twoThetaDeg: number;
  /** Area under the peak, relative to the largest. */
  area: number;
  line: number;
  reflection: Reflection;
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;
const degrees = (angle: number): number => (angle * 180) / Math.PI;

/** Bragg's angle 2theta in degrees; NaN where the wavelength cannot reach d. */
export function twoTheta(d: number, wavelength: number): number {
  return 2 * degrees(Math.asin(wavelength / (2 * d)));
}

export function spacing(twoThetaDeg: number, wavelength: number): number {
  return wavelength / (2 * Math.sin(radians(twoThetaDeg) / 2));
}

/** Sticks of one row, relative to the largest inside the instrument's range, in ascending angle. */
export async function readSticks(dataset: Dataset, row: number): Promise<Stick[]> {
  const n = (await dataset.row("n_reflections", row))[0];
  if (!(n > 0)) return [];
  const sticks = dataset.version === 1 ? await readFormat1(dataset, row, n) : onInstrument(await readReflections(dataset, row, n), dataset.instrument);
  const { two_theta_min_deg: low, two_theta_max_deg: high } = dataset.instrument;
  const inside = sticks.filter((s) => s.twoThetaDeg >= low && s.twoThetaDeg <= high);
  const largest = Math.max(...(inside.length ? inside : sticks).map((s) => s.area));
  return sticks.map((s) => ({ ...s, area: largest > 0 ? s.area / largest : 0 })).sort((a, b) => a.twoThetaDeg - b.twoThetaDeg);
}

async function readReflections(dataset: Dataset, row: number, n: number): Promise<Reflection[]> {
  const shard = dataset.shardOf(row), perShard = dataset.layout.structures_per_shard, more = dataset.layout.n_lines - 1;
  let first = 0; // a shard's structures follow one another
  for (let r = shard * perShard; r < row; r++) first += (await dataset.row("n_reflections", r))[0];
  const read = (name: string) => dataset.run(name, shard, first, first + n);
  const [d, f2, hkl, further] = await Promise.all([
    read("reflection_d"), read("reflection_f2"), read("reflection_hkl"), more > 0 ? read("reflection_f2_lines") : [],
  ]);
  return d.map((value, i) => ({
    d: value,
    hkl: hkl.slice(3 * i, 3 * i + 3).join(" "),
    f2: [f2[i], ...further.slice(more * i, more * (i + 1))],
  }));
}

/** area = w f2 ((1 - P) cos^2(2 theta) + P) / (2 sin^2(theta) cos(theta)); the volume is the same for all. */
function onInstrument(reflections: Reflection[], instrument: Instrument): Stick[] {
  const p = instrument.polarisation;
  return instrument.lines.flatMap(({ wavelength_A, weight }, line) =>
    reflections.flatMap((reflection) => {
      const angle = twoTheta(reflection.d, wavelength_A);
      if (!(angle < 180)) return [];
      const theta = radians(angle) / 2;
      const factor = ((1 - p) * Math.cos(2 * theta) ** 2 + p) / (2 * Math.sin(theta) ** 2 * Math.cos(theta));
      return [{ twoThetaDeg: angle, area: (weight ?? 1) * reflection.f2[line] * factor, line, reflection }];
    }),
  );
}

async function readFormat1(dataset: Dataset, row: number, n: number): Promise<Stick[]> {
  const read = (name: string) => dataset.run(name, row, 0, n);
  const [angles, areas, lines] = await Promise.all([
    read("reflection_two_theta"), read("reflection_intensity"), dataset.has("reflection_line") ? read("reflection_line") : [],
  ]);
  return angles.map((angle, i) => {
    const line = lines[i] ?? 0, wavelength = (dataset.instrument.lines[line] ?? dataset.instrument.lines[0]).wavelength_A;
    return { twoThetaDeg: angle, area: areas[i], line, reflection: { d: spacing(angle, wavelength), hkl: "", f2: [] } };
  });
}

/** Where a peak stands with the zero shift and the displaced sample of one pattern. */
export function shifted(twoThetaDeg: number, instrument: Instrument, zeroShiftDeg: number, displacementUm: number): number {
  const s = (displacementUm * 1e-3) / (instrument.goniometer_radius_mm ?? 200), angle = radians(twoThetaDeg);
  const displaced = instrument.geometry === "reflection" ? -2 * s * Math.cos(angle / 2) : -s * Math.sin(angle);
  return twoThetaDeg + zeroShiftDeg + degrees(displaced);
}
