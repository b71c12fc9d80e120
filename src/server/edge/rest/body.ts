/* Receiving a body, within limits of size and time, and the codings it may come and go in (RFC 9110, section 8.4). */
import type { Readable } from 'node:stream';
import { constants, deflate, gzip } from 'node:zlib';
import { BodyAssembly } from '../body-assembly.js';
import type { AssembledBody } from '../body-assembly.js';
import { inflate, tooLarge } from '../inflate.js';
import type { Coding } from '../inflate.js';
import { CHUNK_OVERHEAD_BYTES, isCrumbled, ReceiveBudgetSpent, TINY_CHUNKS } from '../receive-budget.js';
import type { Receipt } from '../receive-budget.js';
import { BODY_TIMEOUT_HTTP, GRPC_CODE, describeError } from '../../../protocol/status.js';
import type { ErrorReply } from '../../../protocol/status.js';
import { OipFailure } from '../../../protocol/service.js';
import type { BodyPlace } from '../../../protocol/service.js';

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

/** Within so much longer again the rest of a body must have come, of which something had not been read when its time was up. */
const LATE_READING_MS = 50;

export interface BodyLimits {
  readonly maxBytes: number;
  /** From the call of `readBody`. */
  readonly timeoutMs: number;
  /** What the client announced, and will not be exceeded; null where it did not. */
  readonly declaredBytes: number | null;
  /** Asks for a place to read it into, once enough of it is there; absent: there is none. */
  readonly findPlace?: (() => BodyPlace | null) | undefined;
}

/**
 * Reads a request body to its end.
 * @param receipt charged with the body as it arrives; released unless `done` gets the bytes
 * @param done called once: with the body, whose place is the receiver's to release, or with `OipFailure` or `RestFailure` 413, `RestFailure` 408,
 * `ReceiveBudgetSpent`, or `ClientGone`
 */
export function readBody(
  stream: Readable,
  limits: BodyLimits,
  receipt: Receipt,
  done: (error: Error | null, body?: AssembledBody) => void,
): void {
  if (limits.declaredBytes !== null && limits.declaredBytes > limits.maxBytes) {
    // Nobody reads it: what comes of it is thrown away until its time is up.
    done(limits.declaredBytes > DISCARD_LIMIT_FACTOR * limits.maxBytes ? farTooLarge() : tooLarge(limits.maxBytes));
    return;
  }
  const assembly = new BodyAssembly(limits.declaredBytes ?? 0, limits.findPlace ?? null);
  let byteCount = 0;
  let chunkCount = 0;
  let isDone = false;

  let timer = setTimeout(onTimeout, limits.timeoutMs, LATE_READING_MS);
  stream.on('data', onData);
  stream.on('end', onEnd);
  stream.on('error', onGone);
  stream.on('close', onGone);

  function finish(error: Error | null, body?: AssembledBody): void {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    // A listener that stays keeps all that is here until the answer is sent.
    stream.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone).on('error', ignore);
    if (error !== null) {
      receipt.release();
      assembly.discard();
    }
    done(error, body);
  }

  function onData(chunk: Buffer): void {
    byteCount += chunk.length;
    chunkCount += 1;
    if (isCrumbled(byteCount, chunkCount)) {
      finish(new RestFailure(describeError({ kind: 'invalid', message: TINY_CHUNKS }, 'none'), true));
      return;
    }
    if (byteCount <= limits.maxBytes) {
      if (receipt.take(chunk.length + CHUNK_OVERHEAD_BYTES)) assembly.push(chunk);
      else finish(new ReceiveBudgetSpent(receipt));
      return;
    }
    assembly.discard();
    receipt.release();
    if (byteCount > DISCARD_LIMIT_FACTOR * limits.maxBytes) finish(farTooLarge());
  }

  function onEnd(): void {
    if (byteCount > limits.maxBytes) finish(tooLarge(limits.maxBytes));
    else finish(null, assembly.finish());
  }

  function onTimeout(graceMs: number): void {
    const byteCountThen = byteCount;
    // If it was the router that stood still, what has come meanwhile is read first, and does not count as late.
    setImmediate(() => {
      if (isDone) return;
      if (graceMs > 0 && byteCount > byteCountThen) timer = setTimeout(onTimeout, graceMs, 0);
      else finish(new RestFailure(bodyTimeout(limits.timeoutMs), true));
    });
  }

  function onGone(): void {
    if (!isDone) finish(new ClientGone());
  }

  function farTooLarge(): RestFailure {
    return new RestFailure(describeError(tooLarge(limits.maxBytes).error, 'none'), true);
  }
}

/** What becomes of a stream that was read, or that nobody reads any more, is told by the end of its call. */
function ignore(): void {}

/**
 * Undoes `Content-Encoding`.
 * @param maxBytes of the result
 * @param receipt as for `inflate`
 * @throws what `inflate` does, and OipFailure `invalid` for a coding that is unknown
 */
export async function decompress(body: Buffer, coding: string, maxBytes: number, receipt: Receipt): Promise<Buffer> {
  switch (coding.trim().toLowerCase()) {
    case 'identity':
      return body;
    case 'gzip':
    case 'x-gzip':
      return inflate(body, 'gzip', maxBytes, receipt);
    case 'deflate':
      return inflate(body, 'deflate', maxBytes, receipt);
    default:
      throw new OipFailure('invalid', 'Content-Encoding must be gzip, deflate or identity');
  }
}

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

export interface AcceptedCoding {
  readonly coding: Coding;
  /** It is all that is named: that is asked for, where a list of what can be read is what libraries send with everything. */
  readonly isAskedFor: boolean;
}

/** What could be sent back: the first of gzip and deflate that `Accept-Encoding` names and does not forbid with q=0. */
export function acceptedCoding(acceptEncoding: string | undefined): AcceptedCoding | null {
  if (acceptEncoding === undefined) return null;
  const allowed = new Set<string>();
  for (const entry of acceptEncoding.toLowerCase().split(',')) {
    const [coding, ...parameters] = entry.split(';');
    const isForbidden = parameters.some((parameter) => /^\s*q=0(\.0*)?\s*$/.test(parameter));
    if (!isForbidden) allowed.add(coding!.trim());
  }
  const coding = (['gzip', 'deflate'] as const).find((each) => allowed.has(each));
  return coding === undefined ? null : { coding, isAskedFor: allowed.size === 1 };
}

function bodyTimeout(timeoutMs: number): ErrorReply {
  return {
    status: { http: BODY_TIMEOUT_HTTP, grpc: GRPC_CODE.DEADLINE_EXCEEDED },
    message: `request body was not complete within ${timeoutMs} ms`,
    reason: null,
    edgeCause: 'body_timeout',
    details: {},
    retryAfterMs: null,
  };
}
