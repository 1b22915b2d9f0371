// What every drawing needs: a canvas at the screen's resolution, colours of the style sheet, ticks.

export interface Surface { c: CanvasRenderingContext2D; width: number; height: number; colour: (name: string) => string }

/** Prepare a canvas at the size it has on the page. */
export function surface(canvas: HTMLCanvasElement): Surface | null {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
  if (!width || !height) return null;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d")!;
  c.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  c.font = "12px system-ui, sans-serif";
  return { c, width, height, colour: (name) => style.getPropertyValue(name).trim() };
}

/** Round values between two numbers, about as many as asked for. */
export function ticks(low: number, high: number, wanted: number): number[] {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) ?? 10 * power;
  const found: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(10)));
  return found;
}

/** Anchors of the colour map viridis. */
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map((hex) =>
  [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)),
);

/** Red, green and blue of a number from 0 to 1. */
export function viridis(value: number): number[] {
  const at = Math.max(0, Math.min(1, value)) * (VIRIDIS.length - 1), k = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[k].map((from, i) => from + (VIRIDIS[k + 1][i] - from) * (at - k));
}
