// A pattern with its sticks: zoom by dragging, buttons or keys; a cursor that says what is under it.
import { surface, ticks, type Surface } from "./canvas";

export type Scale = "linear" | "sqrt" | "log";
/** A curve is drawn in a lane, 0 the lowest; each lane has axes of its own. */
export interface Curve { x: ArrayLike<number>; y: ArrayLike<number>; label: string; colour: string; lane?: number }
export interface PlotStick { x: number; height: number; colour: string }
export interface Content { curves: Curve[]; sticks: PlotStick[]; range: [number, number]; yLabel: string; xLabel?: string }

const LEFT = 44, RIGHT = 10, TOP = 12, BOTTOM = 40, STICKS = 42, GAP = 16;
const LEAST_STICK = 3;
const LEAST_LOG = 1e-4;
const MOST_ZOOM = 2000;

export class Plot {
  private content: Content = { curves: [], sticks: [], range: [0, 1], yLabel: "" };
  private view: [number, number] = [0, 1];
  private cursor: number | null = null;
  private dragged: [number, number] | null = null;
  scale: Scale = "linear";

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly onCursor: (x: number | null) => void = () => {},
    private readonly onView: (view: [number, number]) => void = () => {},
  ) {
    canvas.tabIndex = 0;
    canvas.addEventListener("pointermove", (event) => this.pointer(event));
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("pointercancel", () => { this.dragged = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => { if (!this.dragged) this.setCursor(null); });
    canvas.addEventListener("dblclick", () => this.zoomAll());
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Show other curves; the view stays if the range is the same. */
  show(content: Content): void {
    const same = content.range[0] === this.content.range[0] && content.range[1] === this.content.range[1];
    this.content = content;
    if (!same) { this.setView([...content.range]); this.setCursor(null); }
    this.draw();
  }

  zoom(factor: number): void {
    const [a, b] = this.view, middle = this.cursor ?? (a + b) / 2, keep = (middle - a) / (b - a), width = (b - a) / factor;
    this.setView([middle - keep * width, middle + (1 - keep) * width]);
  }

  zoomAll(): void { this.setView([...this.content.range]); }

  private setView([a, b]: [number, number]): void {
    const [low, high] = this.content.range, width = Math.max(Math.min(b - a, high - low), (high - low) / MOST_ZOOM);
    const from = Math.max(low, Math.min(a, high - width));
    this.view = [from, from + width];
    this.onView(this.view);
    this.draw();
  }

  private setCursor(x: number | null): void {
    this.cursor = x;
    this.onCursor(x);
    this.draw();
  }

  private at(event: PointerEvent): number {
    const [a, b] = this.view, width = this.canvas.clientWidth - LEFT - RIGHT;
    return a + (Math.max(0, Math.min(width, event.offsetX - LEFT)) / width) * (b - a);
  }

  private pointer(event: PointerEvent): void {
    if (this.dragged) this.dragged[1] = this.at(event);
    this.setCursor(this.at(event));
  }

  private press(event: PointerEvent): void {
    if (event.pointerType === "mouse" && event.button === 0) {
      this.canvas.setPointerCapture(event.pointerId);
      this.dragged = [this.at(event), this.at(event)];
    }
    this.setCursor(this.at(event));
  }

  private release(): void {
    const chosen = this.dragged?.toSorted((a, b) => a - b);
    this.dragged = null;
    const [a, b] = this.view;
    if (chosen && chosen[1] - chosen[0] > (b - a) / 100) this.setView([chosen[0], chosen[1]]);
    else this.draw();
  }

  private key(event: KeyboardEvent): void {
    const [a, b] = this.view, step = (b - a) / (event.shiftKey ? 20 : 200);
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const x = (this.cursor ?? (a + b) / 2) + (event.key === "ArrowLeft" ? -step : step);
      const width = b - a;
      if (x < a) this.setView([a - width / 4, b - width / 4]);
      if (x > b) this.setView([a + width / 4, b + width / 4]);
      this.setCursor(Math.max(this.content.range[0], Math.min(this.content.range[1], x)));
    } else if (event.key === "+" || event.key === "=") this.zoom(2);
    else if (event.key === "-") this.zoom(0.5);
    else if (event.key === "0") this.zoomAll();
    else if (event.key === "Escape") this.setCursor(null);
    else return;
    event.preventDefault();
  }

  draw(): void {
    const on = surface(this.canvas);
    if (!on) return;
    const { curves, sticks, yLabel, xLabel } = this.content, [a, b] = this.view;
    const alone = curves.length === 0, band = alone || !sticks.length ? 0 : STICKS;
    const width = on.width - LEFT - RIGHT, base = on.height - BOTTOM - band, height = base - TOP;
    const lanes = 1 + Math.max(0, ...curves.map((curve) => curve.lane ?? 0)), each = (height - (lanes - 1) * GAP) / lanes;
    const x = (value: number) => LEFT + ((value - a) / (b - a)) * width;
    const y = (value: number, lane = 0) => base - lane * (each + GAP) - this.scaled(value) * each;
    this.angleAxis(on, x, base, base + band, xLabel ?? "2θ (degree)");
    for (let lane = 0; lane < lanes; lane++) this.heightAxis(on, (value) => y(value, lane), each < 150, yLabel);
    on.c.save();
    on.c.beginPath();
    on.c.rect(LEFT, 0, width, on.height - BOTTOM + 1);
    on.c.clip();
    for (const stick of sticks) {
      if (stick.x < a || stick.x > b) continue;
      const length = this.scaled(stick.height) * (alone ? height : band - 8);
      on.c.fillStyle = on.colour(stick.colour);
      on.c.fillRect(x(stick.x) - 0.6, base + band - Math.max(length, LEAST_STICK), 1.2, Math.max(length, LEAST_STICK));
    }
    for (const curve of curves) this.curve(on.c, curve, x, (value) => y(value, curve.lane), on.colour(curve.colour));
    if (this.dragged) {
      const [from, to] = this.dragged.map(x);
      on.c.fillStyle = on.colour("--shade");
      on.c.fillRect(from, 0, to - from, on.height);
    }
    if (this.cursor !== null) {
      on.c.fillStyle = on.colour("--muted");
      on.c.fillRect(x(this.cursor), TOP, 1, base + band - TOP);
    }
    on.c.restore();
  }

  private heightAxis(on: Surface, y: (v: number) => number, low: boolean, label: string): void {
    const { c, width } = on, middle = (y(0) + y(1)) / 2;
    const values = this.scale === "log" ? [1e-4, 1e-3, 1e-2, 0.1, 1] : low ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (const value of values) {
      c.fillStyle = on.colour("--line");
      c.fillRect(LEFT, Math.round(y(value)), width - LEFT - RIGHT, 1);
      c.fillStyle = on.colour("--muted");
      c.fillText(this.scale === "log" && value < 0.1 ? value.toExponential(0).replace("-", "−") : String(value), LEFT - 6, y(value));
    }
    c.save();
    c.translate(7, middle);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(label, 0, 0);
    c.restore();
  }

  private angleAxis(on: Surface, x: (v: number) => number, base: number, foot: number, label: string): void {
    const { c, width } = on;
    c.fillStyle = on.colour("--line");
    if (foot > base) c.fillRect(LEFT, foot, width - LEFT - RIGHT, 1);
    c.textBaseline = "top";
    c.textAlign = "center";
    c.fillStyle = on.colour("--muted");
    for (const value of ticks(...this.view, Math.max(3, Math.floor((width - LEFT) / 90)))) {
      c.fillRect(Math.round(x(value)), foot, 1, 5);
      c.fillText(String(value), x(value), foot + 8);
    }
    c.fillText(label, LEFT + (width - LEFT - RIGHT) / 2, foot + 24);
  }

  private curve(c: CanvasRenderingContext2D, { x: xs, y: ys }: Curve, x: (v: number) => number, y: (v: number) => number, colour: string): void {
    c.strokeStyle = colour;
    c.lineWidth = 1.3;
    c.lineJoin = "round";
    c.beginPath();
    let pen = false;
    for (let i = 0; i < xs.length; i++) {
      if (xs[Math.min(i + 1, xs.length - 1)] < this.view[0] || xs[Math.max(i - 1, 0)] > this.view[1]) continue;
      if (Number.isNaN(ys[i])) { pen = false; continue; }
      if (pen) c.lineTo(x(xs[i]), y(ys[i]));
      else c.moveTo(x(xs[i]), y(ys[i]));
      pen = true;
    }
    c.stroke();
  }

  /** Height, 0 to 1, of a value relative to the maximum. */
  private scaled(value: number): number {
    if (this.scale === "sqrt") return Math.sqrt(Math.max(value, 0));
    if (this.scale === "log") return 1 - Math.log10(Math.max(value, LEAST_LOG)) / Math.log10(LEAST_LOG);
    return value;
  }
}
