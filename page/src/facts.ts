// Lists of facts about one row: labels, and what was drawn for one of its patterns.
import type { Dataset } from "./dataset";
import { count, formulaText, groupText, node, number, withUnit } from "./format";

type Fact = [name: string, value: string];

export function list(facts: Fact[]): Node[] {
  return facts.flatMap(([name, value]) => [node("dt", name), node("dd", value)]);
}

export async function labelFacts(dataset: Dataset, row: number): Promise<Fact[]> {
  const text = (name: string) => dataset.text(name, row), value = async (name: string) => (await dataset.row(name, row))[0];
  const [formula, group, source, id, licence, hash] = await Promise.all(["formula", "group", "source", "source_id", "licence", "structure_hash"].map(text));
  const [spaceGroup, system, split, atoms, volume] = await Promise.all(["space_group", "crystal_system", "split", "n_atoms", "volume"].map(value));
  const cell = Array.from(await dataset.row("niggli", row));
  const facts: Fact[] = [
    ["Identifier", id], ["Source", source], ["Licence", licence], ["Formula", formula ? formulaText(formula) : "unknown"],
    ["Space group", groupText(spaceGroup)], ["Crystal system", system ? dataset.meaning("crystal_system", system) : "unknown"],
    ["Group", group || "unknown"], ["Split", dataset.meaning("split", split)],
    ["Niggli cell", cell.some(Number.isNaN) ? "unknown" : `${cell.slice(0, 3).map((v) => number(v, 5)).join(", ")} Å; ${cell.slice(3).map((v) => number(v, 5)).join(", ")}°`],
    ["Volume", Number.isNaN(volume) ? "unknown" : withUnit(volume, "angstrom3", 5)], ["Atoms in the cell", atoms ? count(atoms) : "unknown"],
    ["Structure hash", hash || "none"], ["Row", `${row}, in shard ${dataset.shardOf(row)}`],
  ];
  return facts;
}

/** Every variable with a value for this pattern, by its long name. */
export async function drawFacts(dataset: Dataset, row: number, augmentation: number): Promise<Fact[]> {
  return Promise.all(dataset.draws.map(async (name): Promise<Fact> => {
    const values = await dataset.row(name, row), width = values.length / dataset.layout.n_augmentations;
    const own = Array.from(values.subarray(augmentation * width, (augmentation + 1) * width));
    const named = Boolean(dataset.attribute(name, "flag_meanings")), units = dataset.attribute(name, "units");
    const shown = own.map((value) => (named ? (value < 0 ? "none" : dataset.meaning(name, value)) : withUnit(value, units)));
    return [dataset.attribute(name, "long_name") || name, shown.join(", ")];
  }));
}

export async function drawOf(dataset: Dataset, name: string, row: number, augmentation: number): Promise<number> {
  return dataset.has(name) ? (await dataset.row(name, row))[augmentation] : 0;
}
