/* Receiving a body, within limits of size and time, and the codings it may come and go in (RFC 9110, section 8.4). */
import type { Readable } from 'node:stream';
import { constants, deflate, gunzip, gzip, inflate } from 'node:zlib';
import { BODY_TIMEOUT_HTTP, GRPC_CODE, describeError } from '../status.js';
import type { ErrorReply } from '../status.js';
import { OipFailure } from '../service.js';

/** An answer that the shared error kinds have no word for. */
export class RestFailure extends Error {
  readonly reply: ErrorReply;
  /** The rest of the request will not be read. */
  readonly isConnectionOver: boolean;
  constructor(reply: ErrorReply, isConnectionOver = false) {
    super(reply.message);
    this.name = 'RestFailure';
    this.reply = reply;
    this.isConnectionOver = isConnectionOver;
  }
}

/** The client left before the end of its request: nobody to answer. */
export class ClientGone extends Error {}

/**
 * A body that is too large is read on and thrown away up to this multiple of the limit, since many clients only read
 * the answer after they have written everything; beyond it the answer is sent and the connection closed.
 */
const DISCARD_LIMIT_FACTOR = 2;

export interface BodyLimits {
  readonly maxBytes: number;
  /** From the call of `readBody`. */
  readonly timeoutMs: number;
}

/**
 * Reads a request body to its end.
 * @param done called once: with the bytes, or with `OipFailure` or `RestFailure` 413, `RestFailure` 408, or
 * `ClientGone`
 */
export function readBody(
  stream: Readable,
  limits: BodyLimits,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  let isDone = false;

  const timer = setTimeout(() => finish(new RestFailure(bodyTimeout(limits.timeoutMs), true)), limits.timeoutMs);
  stream.on('data', onData);
  stream.on('end', onEnd);
  stream.on('error', onGone);
  stream.on('close', onGone);

  function finish(error: Error | null, body?: Buffer): void {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    stream.off('data', onData);
    done(error, body);
  }

  function onData(chunk: Buffer): void {
    byteCount += chunk.length;
    if (byteCount <= limits.maxBytes) {
      chunks.push(chunk);
      return;
    }
    chunks.length = 0;
    if (byteCount > DISCARD_LIMIT_FACTOR * limits.maxBytes) {
      finish(new RestFailure(describeError(tooLarge(limits.maxBytes).error, 'none'), true));
    }
  }

  function onEnd(): void {
    if (byteCount > limits.maxBytes) finish(tooLarge(limits.maxBytes));
    else finish(null, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, byteCount));
  }

  function onGone(): void {
    if (!isDone) finish(new ClientGone());
  }
}

/**
 * Undoes `Content-Encoding`.
 * @param maxBytes of the result: a small body can expand a thousandfold
 * @throws OipFailure `too_large`, or `invalid` for a coding that is unknown or data that is broken
 */
export async function decompress(body: Buffer, coding: string, maxBytes: number): Promise<Buffer> {
  const options = { maxOutputLength: maxBytes };
  switch (coding.trim().toLowerCase()) {
    case 'identity':
      return body;
    case 'gzip':
    case 'x-gzip':
      return new Promise((resolve, reject) => gunzip(body, options, settle(resolve, reject, maxBytes)));
    case 'deflate':
      return new Promise((resolve, reject) => inflate(body, options, settle(resolve, reject, maxBytes)));
    default:
      throw new OipFailure('invalid', 'Content-Encoding must be gzip, deflate or identity');
  }
}

export type Coding = 'gzip' | 'deflate';

/** Speed over size: level 1 takes a third of the default's time for about a tenth more bytes. */
const COMPRESSION = { level: constants.Z_BEST_SPEED };

export function compress(body: Uint8Array, coding: Coding): Promise<Buffer> {
  const run = coding === 'gzip' ? gzip : deflate;
  return new Promise((resolve, reject) =>
    run(body, COMPRESSION, (error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    }),
  );
}

/** What to send back: the first of gzip and deflate that `Accept-Encoding` names and does not forbid with q=0. */
export function acceptedCoding(acceptEncoding: string | undefined): Coding | null {
  if (acceptEncoding === undefined) return null;
  const allowed = new Set<string>();
  for (const entry of acceptEncoding.toLowerCase().split(',')) {
    const [coding, ...parameters] = entry.split(';');
    const isForbidden = parameters.some((parameter) => /^\s*q=0(\.0*)?\s*$/.test(parameter));
    if (!isForbidden) allowed.add(coding!.trim());
  }
  if (allowed.has('gzip')) return 'gzip';
  return allowed.has('deflate') ? 'deflate' : null;
}

function settle(
  resolve: (result: Buffer) => void,
  reject: (error: Error) => void,
  maxBytes: number,
): (error: NodeJS.ErrnoException | null, result: Buffer) => void {
  return (error, result) => {
    if (error === null) resolve(result);
    else if (error.code === 'ERR_BUFFER_TOO_LARGE') reject(tooLarge(maxBytes));
    else reject(new OipFailure('invalid', 'request body is not what its Content-Encoding says'));
  };
}

function tooLarge(maxBytes: number): OipFailure {
  return new OipFailure('too_large', `request body is larger than ${maxBytes} bytes, which is the limit`);
}

function bodyTimeout(timeoutMs: number): ErrorReply {
  return {
    status: { http: BODY_TIMEOUT_HTTP, grpc: GRPC_CODE.DEADLINE_EXCEEDED },
    message: `request body was not complete within ${timeoutMs} ms`,
    reason: null,
    details: {},
    retryAfterMs: null,
  };
}
