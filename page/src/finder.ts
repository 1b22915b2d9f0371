// Labels of all structures, read chunk by chunk, and the filters over them.
import { decode, type Dataset, type Values } from "./dataset";
import { SYMBOLS } from "./space_groups";

export interface Filters { formula: string; element: string; group: string; system: string; split: string; identifier: string }
export const NO_FILTERS: Filters = { formula: "", element: "", group: "", system: "", split: "", identifier: "" };

export class Labels {
  readonly formula: string[] = [];
  readonly spaceGroup: number[] = [];
  readonly crystalSystem: number[] = [];
  readonly split: number[] = [];
  /** Read only when they are asked for. */
  identifier: string[] = [];

  constructor(private readonly dataset: Dataset) {}

  get total(): number { return this.dataset.layout.n_structures; }

  /** Read the next chunk of every label; false when there is none. */
  async more(): Promise<boolean> {
    const rows = await this.dataset.chunkRows("formula");
    if (this.formula.length >= this.total) return false;
    const k = this.formula.length / rows, left = this.total - this.formula.length;
    const [formulas, groups, systems, splits] = await Promise.all([
      texts(this.dataset, "formula", k), ...["space_group", "crystal_system", "split"].map((name) => this.dataset.chunk(name, [k])),
    ] as [Promise<string[]>, Promise<Values>, Promise<Values>, Promise<Values>]);
    for (let i = 0; i < Math.min(rows, left); i++) {
      this.formula.push(formulas[i]);
      this.spaceGroup.push(groups[i]);
      this.crystalSystem.push(systems[i]);
      this.split.push(splits[i]);
    }
    return this.formula.length < this.total;
  }

  async readIdentifiers(): Promise<void> {
    if (!this.identifier.length) this.identifier = await allTexts(this.dataset, "source_id");
  }
}

/** Text of a label for all structures. */
export async function allTexts(dataset: Dataset, name: string): Promise<string[]> {
  const rows = await dataset.chunkRows(name), total = dataset.layout.n_structures, found: string[] = [];
  for (let k = 0; k * rows < total; k++) found.push(...(await texts(dataset, name, k)).slice(0, total - k * rows));
  return found;
}

async function texts(dataset: Dataset, name: string, k: number): Promise<string[]> {
  const bytes = await dataset.chunk(name, [k, 0]), rows = await dataset.chunkRows(name), width = bytes.length / rows;
  return Array.from({ length: rows }, (_, i) => decode(bytes.subarray(i * width, (i + 1) * width)));
}

/** Rows whose labels are read and pass every filter. */
export function find(labels: Labels, filters: Filters): number[] {
  const formula = filters.formula.replace(/\s/g, "").toLowerCase(), group = numbersOf(filters.group);
  const [wanted, unwanted] = elementsOf(filters.element), identifier = filters.identifier.trim().toLowerCase();
  const system = Number(filters.system), split = filters.split === "" ? -1 : Number(filters.split);
  const found: number[] = [];
  for (let i = 0; i < labels.formula.length; i++) {
    if (system && labels.crystalSystem[i] !== system) continue;
    if (split >= 0 && labels.split[i] !== split) continue;
    if (group && !group.has(labels.spaceGroup[i])) continue;
    if (formula && !labels.formula[i].toLowerCase().includes(formula)) continue;
    if (identifier && !(labels.identifier[i] ?? "").toLowerCase().includes(identifier)) continue;
    if (wanted.length || unwanted.length) {
      const present = elements(labels.formula[i]);
      if (!wanted.every((e) => present.includes(e)) || unwanted.some((e) => present.includes(e))) continue;
    }
    found.push(i);
  }
  return found;
}

export function elements(formula: string): string[] {
  return formula.match(/[A-Z][a-z]?/g) ?? [];
}

/** "Na Cl, -O": elements that a formula must have, and those it must not. */
function elementsOf(text: string): [string[], string[]] {
  const words = text.split(/[\s,;]+/).filter(Boolean);
  const proper = (word: string) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();
  const without = (word: string) => /^[-!−]/.test(word);
  return [words.filter((w) => !without(w)).map(proper), words.filter((w) => without(w) && w.length > 1).map((w) => proper(w.slice(1)))];
}

/** Space groups that a number, a range or a symbol names; null for no text. */
function numbersOf(text: string): Set<number> | null {
  const given = text.trim();
  if (!given) return null;
  const range = /^(\d+)(?:\s*[-–]\s*(\d+))?$/.exec(given);
  const all = SYMBOLS.map((_, i) => i + 1);
  if (range) return new Set(all.filter((n) => n >= Number(range[1]) && n <= Number(range[2] ?? range[1])));
  const plain = (symbol: string) => symbol.replace(/[\s_]/g, "").toLowerCase();
  const exact = all.filter((n) => short(n) === plain(given) || plain(SYMBOLS[n - 1]) === plain(given));
  return new Set(exact.length ? exact : all.filter((n) => short(n).startsWith(plain(given))));
}

/** "p21/c" for P 1 21/c 1. */
function short(n: number): string {
  const parts = SYMBOLS[n - 1].split(" ");
  const monoclinic = n >= 3 && n <= 15 ? parts.filter((part, i) => i === 0 || part !== "1") : parts;
  return monoclinic.join("").toLowerCase();
}
