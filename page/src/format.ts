// Numbers, units and names as people read them. Everything that comes from a dataset is text, never markup.
import { SYMBOLS } from "./space_groups";

export function el<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** An element with text, classes or children. */
export function node<K extends keyof HTMLElementTagNameMap>(tag: K, content: string | (Node | string)[] = "", className = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (typeof content === "string") made.textContent = content;
  else made.append(...content);
  return made;
}

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/** Al2O3 as Al₂O₃. */
export function formulaText(formula: string): string {
  return formula.replace(/(?<=[A-Za-z)\]])[\d.]+/g, (digits) => digits.replace(/\d/g, (d) => SUBSCRIPTS[Number(d)])) || "formula unknown";
}

export function groupText(number: number): string {
  return number >= 1 && number <= 230 ? `${SYMBOLS[number - 1]} (${number})` : "space group unknown";
}

export function number(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "none";
  if (Number.isInteger(value)) return count(value);
  const size = Math.abs(value);
  const text = size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1);
  return text.replaceAll("-", "−");
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

const UNITS: Record<string, string> = {
  "1": "", degree: "°", angstrom: "Å", angstrom3: "Å³", micrometer: "µm",
  "1e-6": "× 10⁻⁶", "0.0001 degree2": "× 10⁻⁴ degree²", "0.01 degree": "× 10⁻² degree",
};

export function unit(units: string): string {
  return UNITS[units] ?? units;
}

export function withUnit(value: number, units: string, digits = 4): string {
  const symbol = unit(units), text = number(value, digits);
  return symbol && !Number.isNaN(value) ? `${text}${symbol === "°" ? "" : " "}${symbol}` : text;
}

export function bytesText(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
