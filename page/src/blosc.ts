// Blosc 1 frames with zstd, in plain script: the usual WebAssembly build needs eval, which the page's policy forbids.
import { decompress } from "fzstd";

const HEADER = 16, SHUFFLED = 1, STORED = 2, SHUFFLED_BITS = 4, WHOLE = 16, ZSTD = 4;
const MOST_BYTES = 2 ** 28;
/** A block is divided into one stream for each byte of the type, unless it is the last one or tiny. */
const LARGEST_TYPE = 16, SMALLEST_STREAM = 128;

export function bloscDecode(frame: Uint8Array): Uint8Array {
  if (frame.length < HEADER) throw new Error("A chunk is shorter than its header.");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const flags = frame[2], typesize = frame[3];
  const [total, blocksize, stored] = [4, 8, 12].map((at) => view.getUint32(at, true));
  if (stored !== frame.length) throw new Error(`A chunk should have ${stored} bytes, it has ${frame.length}.`);
  if (total > MOST_BYTES) throw new Error(`A chunk holds more than ${MOST_BYTES} bytes.`);
  if (flags & STORED) return frame.slice(HEADER, HEADER + total);
  if (flags >> 5 !== ZSTD || flags & SHUFFLED_BITS || !blocksize) throw new Error("Expected Blosc with zstd and no shuffle by bits.");
  const out = new Uint8Array(total);
  for (let block = 0, at = 0; at < total; block++, at += blocksize) {
    const size = Math.min(blocksize, total - at);
    const divided = !(flags & WHOLE) && size === blocksize && typesize <= LARGEST_TYPE && blocksize / typesize >= SMALLEST_STREAM;
    const raw = streams(frame, view, view.getUint32(HEADER + 4 * block, true), size, divided ? typesize : 1);
    if (flags & SHUFFLED && typesize > 1) unshuffle(raw, out.subarray(at, at + size), typesize);
    else out.set(raw, at);
  }
  return out;
}

function streams(frame: Uint8Array, view: DataView, from: number, size: number, count: number): Uint8Array {
  const raw = new Uint8Array(size), part = size / count;
  for (let k = 0; k < count; k++) {
    const length = view.getUint32(from, true), data = frame.subarray(from + 4, from + 4 + length);
    const found = length === part ? data : decompress(data, new Uint8Array(part));
    if (found.length !== part) throw new Error(`A block should have ${part} bytes, it has ${found.length}.`);
    raw.set(found, k * part);
    from += 4 + length;
  }
  return raw;
}

function unshuffle(raw: Uint8Array, out: Uint8Array, typesize: number): void {
  const items = Math.floor(raw.length / typesize);
  for (let b = 0; b < typesize; b++) for (let i = 0, j = b, k = b * items; i < items; i++, j += typesize, k++) out[j] = raw[k];
  out.set(raw.subarray(items * typesize), items * typesize);
}
