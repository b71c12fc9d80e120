import { setTimeout as pause } from 'node:timers/promises';
import { isPassingStatus, nextAttempt, retryAfterMs } from './retries.js';
import { SourceError } from './source-error.js';
import { ConnectionError, type WebResponse } from './web-client.js';

/* Trouble that may be over in a moment, told from what stays as it is. */

/** The server's own. */
class Unavailable extends Error {
  readonly askedMs: number | null;

  constructor(status: number, askedMs: number | null) {
    super(`it answers ${status}`);
    this.askedMs = askedMs;
  }
}

interface Passing {
  readonly cause: string;
  /** What the server asked to wait; null where it did not. */
  readonly askedMs: number | null;
}

/** @throws Error that `passingCause` knows, of a status that says nothing of what was asked for */
export function assertAvailable({ status, headers }: WebResponse): void {
  if (isPassingStatus(status)) throw new Unavailable(status, retryAfterMs(headers['retry-after'], Date.now()));
}

/** Null for what stays as it is. */
export function passingCause(error: unknown): Passing | null {
  if (error instanceof Unavailable) return { cause: error.message, askedMs: error.askedMs };
  if (error instanceof ConnectionError) return { cause: error.message, askedMs: null };
  const { code = '' } = error as NodeJS.ErrnoException;
  // While a body is read.
  return /^(?:ECONNRESET|ETIMEDOUT|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$|^HPE_/.test(code)
    ? { cause: 'the connection was cut', askedMs: null }
    : null;
}

interface Patience {
  readonly signal: AbortSignal;
  /** Times all pauses: 1, and 0 in tests. */
  readonly pauseFactor: number;
}

/** Something small, begun anew while its trouble passes. @throws SourceError when it does not; what `act` throws; the signal's reason */
export async function patiently<Result>(
  title: string,
  { signal, pauseFactor }: Patience,
  act: () => Promise<Result>,
): Promise<Result> {
  for (let failed = 1; ; failed++) {
    try {
      return await act();
    } catch (error) {
      signal.throwIfAborted();
      const passing = passingCause(error);
      if (passing === null) throw error;
      const next = nextAttempt({ inARow: failed, inAll: failed }, passing.askedMs, Math.random());
      if (next.kind === 'give-up') throw new SourceError(`${title} cannot be looked at: ${passing.cause}`, true);
      await pause(next.afterMs * pauseFactor, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
