import { open, type FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';

/*
 * Which files a model keeps weights in, besides its own (`model.onnx_data`): read from the model's file while a server serves, so nothing
 * large is read at once. Fields that are not followed are stepped over. Field numbers are those of github.com/onnx/onnx, `onnx/onnx.proto`.
 */

/** By message: its fields that are followed, and what they are. */
const FOLLOWED: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  model: { 7: 'graph' },
  graph: { 1: 'node', 5: 'tensor' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph' },
  tensor: { 13: 'entry' },
};

/** Files that one model may name: exporters write one, or one a tensor. */
const MOST_FILES = 10_000;
/** Graphs within graphs; deeper ones are not real. */
const DEEPEST = 64;
const LONGEST_ENTRY_BYTES = 4096;
const WINDOW_BYTES = 256 * 1024;

/**
 * Paths beside the model's file, in order of mention; of a file that is no model, what there is up to there. Those that lead out of its
 * folder are left out: they are not fetched, and ONNX Runtime refuses them.
 */
export async function externalFiles(modelPath: string): Promise<readonly string[]> {
  const file = await open(modelPath, 'r');
  try {
    const window = new Window(file);
    const { size } = await file.stat();
    const found = new Set<string>();
    await follow(window, 'model', 0, size, found, 0).catch((error: unknown) => {
      if (!(error instanceof NoModel)) throw error;
    });
    return [...new Set([...found].map((location) => posix.normalize(location)))].filter(isInside);
  } finally {
    await file.close();
  }
}

function isInside(path: string): boolean {
  return !posix.isAbsolute(path) && path !== '.' && path !== '..' && !path.startsWith('../') && !path.endsWith('/');
}

class NoModel extends Error {}

async function follow(
  window: Window,
  message: string,
  from: number,
  to: number,
  found: Set<string>,
  depth: number,
): Promise<void> {
  if (depth > DEEPEST || found.size > MOST_FILES) throw new NoModel();
  const followed = FOLLOWED[message]!;
  let at = from;
  while (at < to) {
    await window.show(at);
    const [tag, afterTag] = window.varint(at);
    const wire = tag & 7;
    at = afterTag;
    if (wire === 0) [, at] = window.varint(at);
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const [length, start] = window.varint(at);
      at = start + length;
      if (at > to) throw new NoModel();
      const inner = followed[tag >>> 3];
      if (inner === 'entry') await readEntry(window, start, length, found);
      else if (inner !== undefined) await follow(window, inner, start, at, found, depth + 1);
    } else throw new NoModel();
  }
}

/** `StringStringEntryProto`: key and value. */
async function readEntry(window: Window, start: number, length: number, found: Set<string>): Promise<void> {
  if (length > LONGEST_ENTRY_BYTES) return;
  await window.show(start, length);
  const texts = new Map<number, string>();
  for (let at = start; at < start + length;) {
    const [tag, afterTag] = window.varint(at);
    const [bytes, textAt] = window.varint(afterTag);
    if ((tag & 7) !== 2 || textAt + bytes > start + length) throw new NoModel();
    texts.set(tag >>> 3, window.text(textAt, bytes));
    at = textAt + bytes;
  }
  const location = texts.get(2);
  if (texts.get(1) === 'location' && location !== undefined) found.add(location);
}

/** Longest of two varints, and then some. */
const HEAD_BYTES = 32;

/** A piece of a file in memory, moved to where it is looked at. */
class Window {
  readonly #file: FileHandle;
  readonly #bytes = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #from = 0;
  #to = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** So many bytes, or all up to the end, can be looked at from then on. */
  async show(at: number, count = HEAD_BYTES): Promise<void> {
    if (at >= this.#from && at + count <= this.#to) return;
    const { bytesRead } = await this.#file.read(this.#bytes, 0, WINDOW_BYTES, at);
    this.#from = at;
    this.#to = at + bytesRead;
  }

  /** @returns the number and where it ends. @throws NoModel beyond the end, or where it is no length of a file */
  varint(at: number): [number, number] {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const place = at + i;
      if (place < this.#from || place >= this.#to) throw new NoModel();
      const byte = this.#bytes[place - this.#from]!;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return [value, place + 1];
    }
    throw new NoModel();
  }

  text(at: number, byteCount: number): string {
    return this.#bytes.toString('utf8', at - this.#from, at - this.#from + byteCount);
  }
}
