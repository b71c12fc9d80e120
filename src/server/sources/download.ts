import { setTimeout as pause } from 'node:timers/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { gitBlobSha1 } from './git-blob.js';
import { PartialFile } from './partial-files.js';
import { assertAvailable, passingCause } from './passing.js';
import { nextAttempt } from './retries.js';
import { SourceError } from './source-error.js';
import { ConnectionError, type WebClient, type WebResponse } from './web-client.js';

/*
 * One file from the web into a partial file, across cut connections and restarts: what is there already is asked for no more (`Range`),
 * as long as it is of the same state of the file (`If-Range`); otherwise it is begun anew.
 */

export interface FileToFetch {
  readonly url: URL;
  readonly headersFor: (url: URL) => Readonly<Record<string, string>>;
  /** For people. */
  readonly title: string;
  /** Of the partial file: the same for what is the same. */
  readonly key: string;
  /** What its bytes must be; null where that is not known. */
  readonly sha256: string | null;
  /** Of a small file in a Git repository: the name of its blob, hex. */
  readonly gitBlob: string | null;
  readonly bytes: number | null;
  /** Of what is in the cache: nothing is fetched where it is still so. */
  readonly knownEtag: string | null;
  /** Whose fault a refusal is, and what to do. @throws SourceError, always */
  readonly refuse: (response: WebResponse, text: string) => never;
}

export type Fetched =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'whole'; readonly partial: PartialFile; readonly sha256: string; readonly etag: string | null };

export interface DownloadContext {
  readonly client: WebClient;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Most that may be fetched in all. @throws SourceError where it is more */
  readonly assertFits: (bytes: number) => void;
  /** On the disk. @throws SourceError where there is too little for so many more */
  readonly assertRoom: (bytes: number) => Promise<void>;
  /** Bytes that are there, and all that there are as far as that is known. */
  readonly onBytes: (title: string, bytes: number, totalBytes: number | null) => void;
  readonly onNotice: (line: string) => void;
  /** Times all pauses: 1, and 0 in tests. */
  readonly pauseFactor: number;
}

/** So much further, and a connection that is cut counts as the first one again. */
const PROGRESS_BYTES = 64 * 1024;
const MOST_ERROR_BYTES = 16 * 1024;

/** @throws SourceError, in one line; the signal's reason. What was fetched until then stays, to be gone on with. */
export async function download(file: FileToFetch, context: DownloadContext): Promise<Fetched> {
  const { signal, onNotice } = context;
  const partial = await PartialFile.begin(context.folder, file.key);
  let isDone = false;
  try {
    let [inARow, inAll] = [0, 0];
    for (;;) {
      const before = partial.bytes;
      try {
        const result = await attempt(file, partial, context);
        isDone = true;
        return result;
      } catch (error) {
        signal.throwIfAborted();
        const passing = passingCause(error);
        if (passing === null) throw withoutRoom(error, file.title);
        inARow = partial.bytes - before >= PROGRESS_BYTES ? 1 : inARow + 1;
        inAll++;
        const next = nextAttempt({ inARow, inAll }, passing.askedMs, Math.random());
        if (next.kind === 'give-up') throw givenUp(file, partial, passing.cause);
        onNotice(
          `${file.title}: ${passing.cause}; ${partial.bytes > 0 ? `goes on at ${inMb(partial.bytes)} MB` : 'tried again'}`,
        );
        await pause(next.afterMs * context.pauseFactor, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  } finally {
    if (!isDone) await partial.leave();
  }
}

async function attempt(file: FileToFetch, partial: PartialFile, context: DownloadContext): Promise<Fetched> {
  const resumed = partial.bytes > 0 && partial.validator !== null ? partial.validator : null;
  const conditions = conditionsOf(partial, resumed, file.knownEtag);
  const response = await context.client.ask(
    { method: 'GET', url: file.url, headersFor: (url) => ({ ...conditions, ...file.headersFor(url) }) },
    context.signal,
  );
  const { status, headers, body } = response;
  try {
    if (status === 304 && resumed === null && file.knownEtag !== null) {
      body.resume();
      await partial.remove();
      return { kind: 'unchanged' };
    }
    // What is there is of no use, whole or not.
    if (status === 416 && resumed !== null) {
      await partial.restart(null);
      throw new ConnectionError('the server has fewer bytes than were fetched: from the beginning');
    }
    if (status === 206 && resumed !== null && isContinued(headers, partial)) {
      return await receive(file, partial, context, response, totalOf(headers));
    }
    if (status === 200) {
      await partial.restart(validatorOf(headers));
      const length = headers['content-length'];
      const isEncoded = (headers['content-encoding'] ?? 'identity') !== 'identity';
      if (isEncoded)
        throw new SourceError(`${file.title} is sent compressed, which was not asked for: mend the server`);
      return await receive(file, partial, context, response, length === undefined ? null : Number(length));
    }
    if (status === 206) {
      await partial.restart(null);
      throw new ConnectionError('the server sent another part than was asked for: from the beginning');
    }
    assertAvailable(response);
    return file.refuse(response, await readText(response, MOST_ERROR_BYTES));
  } finally {
    if (!body.complete) body.destroy();
  }
}

function conditionsOf(partial: PartialFile, resumed: string | null, known: string | null): Record<string, string> {
  if (resumed !== null) return { Range: `bytes=${partial.bytes}-`, 'If-Range': resumed };
  return known === null ? {} : { 'If-None-Match': known };
}

/** What says for sure that bytes are of the same state; null where nothing does. */
function validatorOf(headers: IncomingHttpHeaders): string | null {
  if (headers['accept-ranges'] === 'none') return null;
  const { etag } = headers;
  if (etag !== undefined && !etag.startsWith('W/')) return etag;
  return headers['last-modified'] ?? null;
}

function isContinued(headers: IncomingHttpHeaders, partial: PartialFile): boolean {
  const start = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
  const { etag } = headers;
  const isSame = etag === undefined || !partial.validator!.startsWith('"') || etag === partial.validator;
  return Number(start) === partial.bytes && isSame;
}

function totalOf(headers: IncomingHttpHeaders): number | null {
  const total = /\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1];
  return total === undefined ? null : Number(total);
}

async function receive(
  file: FileToFetch,
  partial: PartialFile,
  context: DownloadContext,
  { headers, body }: WebResponse,
  total: number | null,
): Promise<Fetched> {
  const expected = total ?? file.bytes ?? 0;
  context.assertFits(expected);
  await context.assertRoom(Math.max(0, expected - partial.bytes));
  for await (const piece of body as AsyncIterable<Buffer>) {
    await partial.append(piece);
    context.assertFits(partial.bytes);
    context.onBytes(file.title, partial.bytes, total ?? file.bytes);
  }
  if (!body.complete || (total !== null && partial.bytes < total)) {
    throw new ConnectionError(`cut at ${inMb(partial.bytes)} of ${total === null ? 'so many' : inMb(total)} MB`);
  }
  await assertRight(file, partial, headers);
  await partial.finish();
  return { kind: 'whole', partial, sha256: partial.sha256(), etag: headers.etag ?? null };
}

/** @throws SourceError where its bytes are not those that were promised; nothing of it stays then */
async function assertRight(file: FileToFetch, partial: PartialFile, headers: IncomingHttpHeaders): Promise<void> {
  const sha256 = partial.sha256();
  const promised = file.sha256 ?? sha256InAnswer(headers);
  const wrong =
    promised !== null && promised !== sha256
      ? `its SHA-256 is ${sha256}, not ${promised}`
      : file.bytes !== null && file.bytes !== partial.bytes
        ? `it has ${partial.bytes} bytes, not ${file.bytes}`
        : file.gitBlob !== null && (await gitBlobSha1(partial.path, partial.bytes)) !== file.gitBlob
          ? `it is not the Git blob ${file.gitBlob}`
          : null;
  if (wrong === null) return;
  await partial.restart(null);
  throw new SourceError(
    `${file.title} is not what it should be: ${wrong}. Nothing of it was kept; check the sum and the source, then try again`,
  );
}

/** S3 tells it of objects that were stored with it; one with a dash is a sum of sums. */
function sha256InAnswer(headers: IncomingHttpHeaders): string | null {
  const sum = headers['x-amz-checksum-sha256'];
  const isPlain = typeof sum === 'string' && /^[A-Za-z\d+/]{43}=$/.test(sum);
  return isPlain && headers['content-range'] === undefined ? Buffer.from(sum, 'base64').toString('hex') : null;
}

function givenUp({ title }: FileToFetch, partial: PartialFile, cause: string): SourceError {
  const kept = partial.validator !== null && partial.bytes > 0;
  const state = kept ? `; ${inMb(partial.bytes)} MB are kept, and the same command goes on from there` : '';
  return new SourceError(`${title} cannot be fetched: ${cause}${state}`, true);
}

/** The disk's own errors, for people. */
function withoutRoom(error: unknown, title: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SourceError(`no room on the disk for ${title}: make some, or name another folder with --model-cache`);
  }
  return error;
}

/** A body, or as much of it as is bearable. */
export async function readText({ body }: WebResponse, mostBytes: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > mostBytes) break;
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** Of a refusal that means the same everywhere. */
export function refusal(title: string, status: number, credentials: string): SourceError {
  if (status === 401 || status === 403) {
    return new SourceError(`${title}: not allowed (${status}): ${credentials}`);
  }
  if (status === 404 || status === 410)
    return new SourceError(`${title}: there is no such file (${status}): check its name`);
  return new SourceError(`${title}: the server answers ${status}, not the file`);
}

function inMb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
