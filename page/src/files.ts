// Files of a dataset over HTTP: whole or in ranges, each answer checked, and bytes counted.

export interface Files {
  readonly address: string;
  /** Read a file, or bytes `first` to `stop` of it; a file that does not exist is a NotFound. */
  read(name: string, first?: number, stop?: number): Promise<Uint8Array<ArrayBuffer>>;
}

export class NotFound extends Error {}

/** What this page has fetched, its own text apart. */
export const traffic = { requests: 0, bytes: 0 };

/** Largest file that is taken whole from a server which ignores ranges. */
const MOST_WITHOUT_RANGES = 8 * 2 ** 20;

export class Folder implements Files {
  constructor(readonly address: string) {}

  async read(name: string, first?: number, stop?: number): Promise<Uint8Array<ArrayBuffer>> {
    const url = this.address + name.split("/").map(encodeURIComponent).join("/");
    if (first === undefined || stop === undefined) return body(await ask(url));
    return range(url, first, stop);
  }
}

/** Bytes `first` to `stop` of a file. */
export async function range(url: string, first: number, stop: number): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await ask(url, `bytes=${first}-${stop - 1}`);
  if (answer.status === 206) {
    const stated = answer.headers.get("Content-Range");
    const found = await body(answer);
    if (found.length !== stop - first || (stated && !stated.startsWith(`bytes ${first}-`)))
      throw new Error(`${url}: expected bytes ${first} to ${stop}, the server sent ${found.length} of ${stated}.`);
    return found;
  }
  await refuseWhole(answer, url);
  return (await body(answer)).slice(first, stop);
}

/** The last bytes of a file, and its size. */
export async function tail(url: string, length: number): Promise<{ bytes: Uint8Array<ArrayBuffer>; size: number }> {
  const answer = await ask(url, `bytes=-${length}`);
  if (answer.status !== 206) await refuseWhole(answer, url);
  const bytes = await body(answer);
  const size = answer.status === 206 ? Number(answer.headers.get("Content-Range")?.split("/")[1]) : bytes.length;
  if (!Number.isSafeInteger(size)) throw new Error(`${url}: the server does not state the size of the file (Content-Range).`);
  return { bytes, size };
}

async function refuseWhole(answer: Response, url: string): Promise<void> {
  const size = Number(answer.headers.get("Content-Length") ?? Infinity);
  if (size <= MOST_WITHOUT_RANGES) return;
  await answer.body?.cancel();
  throw new Error(
    `${url}: this server does not support HTTP range requests, and the file has ${size} bytes. ` +
      "Use another server, or open the dataset with: datagen browse",
  );
}

async function ask(url: string, bytes?: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, bytes ? { headers: { Range: bytes } } : {});
  } catch (error) {
    throw new Error(`${url}: no answer (${(error as Error).message}). Is the server still running?`);
  }
  traffic.requests += 1;
  // Object stores answer 403 where the list of files is private.
  if (answer.status === 404 || answer.status === 403) throw new NotFound(`${url}: not found (status ${answer.status}).`);
  if (!answer.ok) throw new Error(`${url}: the server answered ${answer.status} ${answer.statusText}.`);
  return answer;
}

async function body(answer: Response): Promise<Uint8Array<ArrayBuffer>> {
  const found = new Uint8Array(await answer.arrayBuffer());
  traffic.bytes += found.length;
  return found;
}
