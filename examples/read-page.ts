import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/*
 * Sends a picture of a page, as it is, to the pipeline `page` and prints its lines of text and where they are: one call, with one deadline
 * for all that is done for it.
 */

const DEFAULT_PAGE = fileURLToPath(new URL('page/page.jpg', import.meta.url));

interface Output {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: readonly (string | number)[];
}

interface Answer {
  readonly error?: string;
  readonly outputs?: readonly Output[];
  readonly parameters?: Readonly<Record<string, unknown>>;
}

export interface PageLine {
  readonly text: string;
  readonly confidence: number;
  /** x and y of the corners, clockwise from the upper left. */
  readonly corners: readonly number[];
}

/** @returns what was read, from the top, and the server's account of it; throws one clear line where it was refused */
export async function readPage(
  url: string,
  path: string,
  sloMs: number,
): Promise<{ lines: readonly PageLine[]; tookMs: number; parameters: Readonly<Record<string, unknown>> }> {
  const picture = await readFile(path);
  // The protocol's BYTES: each element behind its length.
  const length = Buffer.alloc(4);
  length.writeUInt32LE(picture.byteLength);
  const size = picture.byteLength + length.byteLength;
  const input = { name: 'image', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: size } };
  const head = Buffer.from(JSON.stringify({ inputs: [input] }));
  const sentAtMs = performance.now();
  const response = await fetch(`${url}/v2/models/page/infer`, {
    method: 'POST',
    headers: { 'Inference-Header-Content-Length': String(head.byteLength), 'Request-Timeout-Ms': String(sloMs) },
    body: Buffer.concat([head, length, picture]),
  });
  const answer = (await response.json()) as Answer;
  const tookMs = performance.now() - sentAtMs;
  if (answer.outputs === undefined) throw new Error(`refused with status ${response.status}: ${answer.error ?? ''}`);
  const [text, box, confidence] = ['text', 'box', 'confidence'].map(
    (name) => answer.outputs!.find((output) => output.name === name)?.data ?? [],
  );
  const lines = text!.map((each, index) => ({
    text: String(each),
    confidence: Number(confidence![index]),
    corners: box!.slice(8 * index, 8 * index + 8).map(Number),
  }));
  return { lines, tookMs, parameters: answer.parameters ?? {} };
}

/** For people. */
export async function showPage(url: string, path: string | undefined, sloMs: number): Promise<void> {
  const { lines, tookMs, parameters } = await readPage(url, path ?? DEFAULT_PAGE, sloMs).catch((error: unknown) => {
    const isUnreachable = error instanceof TypeError;
    const hint = isUnreachable ? ` (no answer from ${url}: "npm run start:page" starts it)` : '';
    throw new Error(`${error instanceof Error ? error.message : String(error)}${hint}`, { cause: error });
  });
  for (const { text, confidence, corners } of lines) {
    const [left = 0, top = 0] = corners;
    const at = `${left.toFixed(0)}, ${top.toFixed(0)}`;
    console.log(`${at.padStart(9)}  ${confidence.toFixed(2)}  ${text}`);
  }
  const isLate = parameters['sponge_late'] === true || tookMs > sloMs;
  console.log(
    `\n${lines.length} lines, answered ${tookMs.toFixed(0)} ms after sending, SLO ${sloMs} ms, ${isLate ? 'LATE' : 'on time'}`,
  );
}
