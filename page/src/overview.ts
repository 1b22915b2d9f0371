// All patterns of a structure as one picture: a line each, dark to bright; a click chooses one.
import { surface, viridis } from "./canvas";

const LEFT = 44, RIGHT = 10;

export class Overview {
  private patterns: Float32Array[] = [];
  private chosen = 0;
  private view: [number, number] = [0, 1];
  private picture: ImageData | null = null;

  /** `choose` takes the number of a pattern. */
  constructor(private readonly canvas: HTMLCanvasElement, choose: (augmentation: number) => void) {
    canvas.addEventListener("click", (event) => {
      const at = Math.floor((event.offsetY / canvas.clientHeight) * this.patterns.length);
      if (this.patterns.length) choose(Math.max(0, Math.min(this.patterns.length - 1, at)));
    });
    new ResizeObserver(() => { this.picture = null; this.draw(); }).observe(canvas);
  }

  show(patterns: Float32Array[]): void {
    this.patterns = patterns;
    this.canvas.style.height = `${Math.max(40, Math.min(160, patterns.length * 4))}px`;
    this.picture = null;
    this.draw();
  }

  choose(augmentation: number): void { this.chosen = augmentation; this.draw(); }

  /** Show a part of the range, as fractions of it. */
  look(view: [number, number]): void { this.view = view; this.picture = null; this.draw(); }

  draw(): void {
    const on = surface(this.canvas);
    if (!on || !this.patterns.length) return; // preparing a canvas clears it
    const { c, width, height } = on, columns = Math.max(1, Math.round(width - LEFT - RIGHT)), n = this.patterns.length;
    this.picture ??= this.paint(columns);
    const image = document.createElement("canvas");
    image.width = columns;
    image.height = n;
    image.getContext("2d")!.putImageData(this.picture, 0, 0);
    c.imageSmoothingEnabled = false;
    c.drawImage(image, LEFT, 0, columns, height);
    const top = (this.chosen / n) * height, line = Math.max(2, height / n);
    c.fillStyle = on.colour("--accent");
    c.beginPath();
    c.moveTo(LEFT - 9, top + line / 2 - 6);
    c.lineTo(LEFT - 1, top + line / 2);
    c.lineTo(LEFT - 9, top + line / 2 + 6);
    c.fill();
    c.fillRect(LEFT + columns + 1, top, 5, line);
  }

  /** The largest value under each pixel, as its square root: weak peaks remain visible. */
  private paint(columns: number): ImageData {
    const found = new ImageData(columns, this.patterns.length), [a, b] = this.view;
    this.patterns.forEach((pattern, row) => {
      for (let column = 0; column < columns; column++) {
        const from = Math.floor((a + ((b - a) * column) / columns) * pattern.length);
        const to = Math.max(from + 1, Math.floor((a + ((b - a) * (column + 1)) / columns) * pattern.length));
        let largest = 0;
        for (let i = from; i < Math.min(to, pattern.length); i++) if (pattern[i] > largest) largest = pattern[i];
        found.data.set([...viridis(Math.sqrt(largest)), 255], 4 * (row * columns + column));
      }
    });
    return found;
  }
}
