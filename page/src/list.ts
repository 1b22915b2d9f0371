// The list of structures: a listbox that holds only the rows in view, so that its length does not matter.
import { node } from "./format";

const ROW_PX = 44;
/** Browsers limit the height of a page to some 17 million pixels. */
const MOST_ROWS = 300_000;

export class StructureList {
  private rows: number[] = [];
  private selected = -1;

  constructor(
    private readonly box: HTMLElement,
    private readonly describe: (row: number) => [string, string],
    private readonly choose: (row: number) => void,
  ) {
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(rows: number[]): void {
    this.rows = rows.slice(0, MOST_ROWS);
    this.draw();
  }

  get cut(): boolean { return this.rows.length === MOST_ROWS; }

  select(row: number, scroll = true): void {
    this.selected = row;
    const at = this.rows.indexOf(row), top = at * ROW_PX;
    if (scroll && at >= 0 && (top < this.box.scrollTop || top + ROW_PX > this.box.scrollTop + this.box.clientHeight))
      this.box.scrollTop = top - this.box.clientHeight / 2 + ROW_PX / 2;
    this.draw();
  }

  /** The row a number of places further in the list; the nearest end beyond it. */
  step(places: number): number | undefined {
    const at = this.rows.indexOf(this.selected);
    return this.rows[Math.max(0, Math.min(this.rows.length - 1, at < 0 ? 0 : at + places))];
  }

  private key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW_PX) - 1);
    const places: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in places)) return;
    event.preventDefault();
    const row = this.step(places[event.key]);
    if (row !== undefined) this.choose(row);
  }

  private draw(): void {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - 4);
    const last = Math.min(this.rows.length, first + Math.ceil(this.box.clientHeight / ROW_PX) + 8);
    const space = node("div", "", "space");
    space.style.height = `${this.rows.length * ROW_PX}px`;
    const options = this.rows.slice(first, last).map((row, i) => {
      const [title, about] = this.describe(row);
      const option = node("div", [node("span", title, "formula"), node("span", about, "muted")], "option");
      option.id = `row-${row}`;
      option.role = "option";
      option.ariaSelected = String(row === this.selected);
      option.ariaPosInSet = String(first + i + 1);
      option.ariaSetSize = String(this.rows.length);
      option.style.top = `${(first + i) * ROW_PX}px`;
      option.addEventListener("click", () => this.choose(row));
      return option;
    });
    this.box.replaceChildren(space, ...options);
    if (options.some((option) => option.id === `row-${this.selected}`)) this.box.setAttribute("aria-activedescendant", `row-${this.selected}`);
    else this.box.removeAttribute("aria-activedescendant");
  }
}
