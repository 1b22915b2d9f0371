// A dataset of the formats 1 and 2: metadata, receipts, and chunks of its arrays.
import * as zarr from "zarrita";
import { bloscDecode } from "./blosc";
import { Folder, NotFound, type Files } from "./files";
import { Zip } from "./zip";

zarr.registry.set("blosc", (async () => ({
  fromConfig: () => ({ kind: "bytes_to_bytes", encode() { throw new Error("This page only reads."); }, decode: bloscDecode }),
})) as never);

const FORMAT = "pxrd-datagen", VERSIONS = [1, 2];
const MOST_STRUCTURES = 2_000_000, MOST_CHUNK_BYTES = 2 ** 28, CHUNKS_KEPT = 96;

export type Values = ArrayLike<number> & Iterable<number> & { subarray(first: number, stop: number): Values };
export interface Line { wavelength_A: number; weight?: number }
export interface Instrument {
  lines: Line[]; polarisation: number; geometry?: string; goniometer_radius_mm?: number;
  two_theta_min_deg: number; two_theta_max_deg: number;
}
interface ArrayMetadata { shape: number[]; data_type: string; dimension_names: string[]; attributes: Record<string, unknown> }
interface Layout { n_structures: number; n_augmentations: number; structures_per_shard: number; n_lines: number; scan_slots?: number }
type Receipt = Record<string, { size: number }>;

export class Dataset {
  private readonly receipts = new Map<number, Promise<Receipt>>();
  private readonly chunks = new Map<string, Promise<Values>>();
  private readonly opened = new Map<string, Promise<zarr.Array<zarr.DataType, Store>>>();
  private readonly root: zarr.Location<Store>;

  private constructor(
    readonly files: Files,
    readonly version: number,
    readonly attributes: Record<string, unknown>,
    readonly layout: Layout,
    readonly arrays: Record<string, ArrayMetadata>,
    private readonly frame: Receipt,
  ) {
    this.root = zarr.root(new Store(this));
  }

  /** Open a folder (its address ends in a slash) or a zip. */
  static async open(address: string): Promise<Dataset> {
    const files = address.endsWith(".zip") ? await Zip.open(address) : new Folder(address);
    const [group, frame] = await Promise.all([json(files, "zarr.json"), json(files, "ledger/frame.json")]);
    const attributes = group.attributes ?? {}, version = attributes.format_version, layout = attributes.layout ?? {};
    if (attributes.format !== FORMAT || !VERSIONS.includes(version))
      throw new Error(`${address}: expected a dataset of ${FORMAT}, format ${VERSIONS.join(" or ")}; found ${attributes.format}, format ${version}.`);
    const sizes = [layout.n_structures, layout.structures_per_shard, layout.n_lines];
    if (!sizes.every((n) => Number.isSafeInteger(n) && n > 0) || layout.n_structures > MOST_STRUCTURES)
      throw new Error(`${address}: expected 1 to ${MOST_STRUCTURES} structures and whole shards, found ${sizes.join(", ")}.`);
    return new Dataset(files, version, attributes, layout, group.consolidated_metadata.metadata, frame.files);
  }

  get title(): string {
    const named = this.attributes.publication ? this.attributes.title : undefined;
    return String(named ?? decodeURIComponent(this.files.address.replace(/\/$/, "").split("/").pop() ?? ""));
  }
  get instrument(): Instrument { return this.attributes.instrument as Instrument; }
  get measured(): boolean { return Boolean(this.layout.scan_slots); }
  get hasPatterns(): boolean { return "pattern" in this.arrays; }
  has(name: string): boolean { return Object.hasOwn(this.arrays, name); }
  shardOf(row: number): number { return Math.floor(row / this.layout.structures_per_shard); }

  /** Names of the variables with a value for every pattern, in the dataset's order. */
  get draws(): string[] {
    const named = (this.attributes.shard_variables as string[] | undefined) ?? Object.keys(this.arrays);
    return named.filter((name) => name !== "pattern" && this.arrays[name]?.dimension_names[1] === "augmentation");
  }

  attribute(name: string, key: string): string {
    const found = this.arrays[name]?.attributes[key];
    return found === undefined ? "" : String(found);
  }

  /** Meaning of a number of a variable with flags; the number itself if it has none. */
  meaning(name: string, value: number): string {
    const values = (this.arrays[name]?.attributes.flag_values as number[] | undefined) ?? [];
    const meanings = this.attribute(name, "flag_meanings").split(" ");
    const at = values.indexOf(value);
    return at < 0 ? String(value) : meanings[at].replaceAll("_", " ");
  }

  /** Values of one row of a variable along `structure` that is not divided along other axes. */
  async row(name: string, row: number): Promise<Values> {
    const along = (await this.open(name)).chunks, width = product(along.slice(1));
    const chunk = await this.chunk(name, [Math.floor(row / along[0]), ...along.slice(1).map(() => 0)]);
    const at = row % along[0];
    return chunk.subarray(at * width, (at + 1) * width);
  }

  async text(name: string, row: number): Promise<string> {
    return decode(await this.row(name, row));
  }

  /** Values `first` to `stop` along the second axis of an array that is divided along it. */
  async run(name: string, first: number, begin: number, stop: number): Promise<number[]> {
    const along = (await this.open(name)).chunks, width = product(along.slice(2)), found: number[] = [];
    for (let k = Math.floor(begin / along[1]); k * along[1] < stop; k++) {
      const chunk = await this.chunk(name, [first, k, ...along.slice(2).map(() => 0)]);
      const from = Math.max(begin - k * along[1], 0), to = Math.min(stop - k * along[1], along[1]);
      found.push(...Array.from(chunk.subarray(from * width, to * width)));
    }
    return found;
  }

  /** A chunk's values, of the array or of its shards; recent ones are kept. */
  async chunk(name: string, at: number[]): Promise<Values> {
    const key = `${name}/${at.join("/")}`, known = this.chunks.get(key);
    this.chunks.delete(key);
    const found = known ?? this.fetchChunk(name, at);
    this.chunks.set(key, found);
    if (this.chunks.size > CHUNKS_KEPT) this.chunks.delete(this.chunks.keys().next().value!);
    found.catch(() => this.chunks.delete(key));
    return found;
  }

  /** Length of a chunk along the first axis. */
  async chunkRows(name: string): Promise<number> {
    return (await this.open(name)).chunks[0];
  }

  private async fetchChunk(name: string, at: number[]): Promise<Values> {
    const array = await this.open(name);
    if (product(array.chunks) * 8 > MOST_CHUNK_BYTES * 2) throw new Error(`${name}: its chunks of ${array.chunks} are too large for a browser.`);
    const { data } = await array.getChunk(at);
    return (array.dtype === "bool" ? Uint8Array.from(data as Iterable<boolean>, Number) : data) as unknown as Values;
  }

  private open(name: string): Promise<zarr.Array<zarr.DataType, Store>> {
    if (!this.has(name)) throw new Error(`The dataset has no variable ${name}.`);
    if (!this.opened.has(name)) this.opened.set(name, zarr.open.v3(this.root.resolve(name), { kind: "array" }));
    return this.opened.get(name)!;
  }

  /** Sizes of the files that a shard consists of, or, for labels and coordinates, the frame. */
  async receiptOf(name: string): Promise<Receipt> {
    const variable = name.split("/")[0], kind = this.arrays[variable]?.dimension_names[0];
    const shards = (this.attributes.shard_variables as string[] | undefined) ?? [];
    if (kind !== "shard" && !shards.includes(variable)) return this.frame;
    const shard = Number(name.split("/")[2]);
    if (!this.receipts.has(shard)) {
      const found = this.readReceipt(shard);
      found.catch(() => this.receipts.delete(shard));
      this.receipts.set(shard, found);
    }
    return this.receipts.get(shard)!;
  }

  private async readReceipt(shard: number): Promise<Receipt> {
    try {
      return (await json(this.files, `ledger/shard-${String(shard).padStart(5, "0")}.json`)).files;
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      throw new Error(`Shard ${shard} has no receipt: its structures are not made yet, or the dataset is damaged (datagen verify).`);
    }
  }
}

/** Zarr's view of the files. The ledger says which exist: one that it names must be there, others hold fill values. */
class Store implements zarr.AsyncReadable {
  constructor(private readonly dataset: Dataset) {}

  async get(key: zarr.AbsolutePath): Promise<Uint8Array | undefined> {
    const name = key.slice(1);
    if (name.endsWith("/zarr.json"))
      return new TextEncoder().encode(JSON.stringify(this.dataset.arrays[name.slice(0, -"/zarr.json".length)]));
    const size = await this.size(name);
    if (size === undefined) return undefined;
    const found = await this.dataset.files.read(name);
    if (found.length !== size) throw new Error(`${name}: expected ${size} bytes, found ${found.length}; the dataset is damaged (datagen verify).`);
    return found;
  }

  async getRange(key: zarr.AbsolutePath, part: zarr.RangeQuery): Promise<Uint8Array | undefined> {
    const name = key.slice(1), size = await this.size(name);
    if (size === undefined) return undefined;
    const [first, stop] = "suffixLength" in part ? [size - part.suffixLength, size] : [part.offset, part.offset + part.length];
    if (first < 0 || stop > size) throw new Error(`${name}: has ${size} bytes, its index names byte ${stop}; the dataset is damaged (datagen verify).`);
    return this.dataset.files.read(name, first, stop);
  }

  private async size(name: string): Promise<number | undefined> {
    const receipt = await this.dataset.receiptOf(name);
    return Object.hasOwn(receipt, name) ? receipt[name].size : undefined;
  }
}

const decoder = new TextDecoder();

/** Text of bytes that are filled up with zeros. */
export function decode(bytes: Values): string {
  return decoder.decode(bytes as unknown as Uint8Array).replace(/\0+$/, "");
}

function product(numbers: number[]): number {
  return numbers.reduce((a, b) => a * b, 1);
}

async function json(files: Files, name: string): Promise<any> {
  const text = decoder.decode(await files.read(name));
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${files.address}${name}: expected JSON, found something else.`);
  }
}
