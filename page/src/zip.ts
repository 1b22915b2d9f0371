// Files inside a `.zarr.zip` on a server: its directory is read once, then ranges of the zip.
import { NotFound, range, tail, type Files } from "./files";

const END = 0x06054b50, END_64 = 0x06064b50, LOCATOR_64 = 0x07064b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50;
const TAIL_BYTES = 22 + 65535 + 20;
const MOST_DIRECTORY_BYTES = 2 ** 28;

interface Entry { header: number; size: number; begin?: Promise<number> }

export class Zip implements Files {
  private constructor(readonly address: string, private readonly entries: Map<string, Entry>) {}

  static async open(url: string): Promise<Zip> {
    const { bytes, size } = await tail(url, TAIL_BYTES);
    const { first, length, count } = directory(bytes, size, url);
    if (first + length > size || length > MOST_DIRECTORY_BYTES) throw damaged(url, "its directory is outside of the file");
    const begin = size - bytes.length;
    const listing = first >= begin ? bytes.subarray(first - begin, first - begin + length) : await range(url, first, first + length);
    return new Zip(url, entries(listing, count, url));
  }

  async read(name: string, first?: number, stop?: number): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.entries.get(name);
    if (!entry) throw new NotFound(`${this.address}: has no file ${name}.`);
    const begin = await (entry.begin ??= this.begin(entry));
    const from = first ?? 0, to = Math.min(stop ?? entry.size, entry.size);
    return to > from ? range(this.address, begin + from, begin + to) : new Uint8Array();
  }

  private async begin(entry: Entry): Promise<number> {
    const bytes = await range(this.address, entry.header, entry.header + 30);
    const view = new DataView(bytes.buffer);
    if (view.getUint32(0, true) !== LOCAL) throw damaged(this.address, `expected a file at byte ${entry.header}`);
    return entry.header + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  }
}

function directory(bytes: Uint8Array<ArrayBuffer>, size: number, url: string): { first: number; length: number; count: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = bytes.length - 22;
  while (at >= 0 && view.getUint32(at, true) !== END) at -= 1;
  if (at < 0) throw damaged(url, "its end is missing");
  const short = { count: view.getUint16(at + 10, true), length: view.getUint32(at + 12, true), first: view.getUint32(at + 16, true) };
  if (at < 20 || view.getUint32(at - 20, true) !== LOCATOR_64) return short;
  const begin = size - bytes.length, long = Number(view.getBigUint64(at - 20 + 8, true)) - begin;
  if (long < 0 || long + 56 > bytes.length || view.getUint32(long, true) !== END_64) throw damaged(url, "its end is damaged");
  return {
    count: Number(view.getBigUint64(long + 32, true)),
    length: Number(view.getBigUint64(long + 40, true)),
    first: Number(view.getBigUint64(long + 48, true)),
  };
}

function entries(bytes: Uint8Array<ArrayBuffer>, count: number, url: string): Map<string, Entry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), decoder = new TextDecoder();
  const found = new Map<string, Entry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== ENTRY) throw damaged(url, `expected ${count} files, found ${i}`);
    const method = view.getUint16(at + 10, true);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((k) => view.getUint16(at + k, true));
    const name = decoder.decode(bytes.subarray(at + 46, at + 46 + nameBytes));
    if (method !== 0) throw new Error(`${url}: ${name} is compressed; expected a zip as datagen publish writes it.`);
    let size = view.getUint32(at + 24, true), header = view.getUint32(at + 42, true);
    const stop = at + 46 + nameBytes + extraBytes;
    for (let extra = at + 46 + nameBytes; extra + 4 <= stop; extra += 4 + view.getUint16(extra + 2, true)) {
      if (view.getUint16(extra, true) !== 1) continue;
      let field = extra + 4; // zip64: sizes and offset that need more than 32 bits, in this order
      if (size === 0xffffffff) { size = Number(view.getBigUint64(field, true)); field += 8; }
      if (view.getUint32(at + 20, true) === 0xffffffff) field += 8;
      if (header === 0xffffffff) header = Number(view.getBigUint64(field, true));
    }
    found.set(name, { header, size });
    at = stop + commentBytes;
  }
  return found;
}

function damaged(url: string, what: string): Error {
  return new Error(`${url}: is not a whole zip: ${what}. Fetch it again.`);
}
