import type { CallTrace, CallTraces, TracedCall } from '../../protocol/service.js';
import type { Outbox } from './outbox.js';
import type { ToPlanner, TraceEntry } from './wire.js';

/*
 * Traced calls of an io thread: what it knows of each goes along with the call, and when it has been answered after it.
 */

export class RemoteTraces implements CallTraces {
  readonly #outbox: Outbox<ToPlanner>;
  readonly #nowMs: () => number;

  constructor(outbox: Outbox<ToPlanner>, nowMs: () => number) {
    this.#outbox = outbox;
    this.#nowMs = nowMs;
  }

  begin(call: TracedCall): RemoteTrace {
    return new RemoteTrace(call, this.#outbox, this.#nowMs);
  }
}

export class RemoteTrace implements CallTrace {
  readonly #call: TracedCall;
  readonly #outbox: Outbox<ToPlanner>;
  readonly #nowMs: () => number;
  #id: number | null = null;

  constructor(call: TracedCall, outbox: Outbox<ToPlanner>, nowMs: () => number) {
    this.#call = call;
    this.#outbox = outbox;
    this.#nowMs = nowMs;
  }

  /** It is sent on as the call of this id. */
  sentAs(id: number): TraceEntry {
    this.#id = id;
    return entryOf(this.#call);
  }

  answered(status: number | null, reason = ''): void {
    const nowMs = this.#nowMs();
    if (this.#id === null) this.#outbox.push(['answered-here', entryOf(this.#call), nowMs, status, reason]);
    else this.#outbox.push(['answered', this.#id, nowMs, status, reason]);
  }
}

function entryOf(call: TracedCall): TraceEntry {
  const { protocol, method, path, parent, state, peer, firstByteAtMs, receivedAtMs } = call;
  return [protocol, method, path, parent, state, peer, firstByteAtMs, receivedAtMs];
}

export function tracedCallOf(entry: TraceEntry): TracedCall {
  const [protocol, method, path, parent, state, peer, firstByteAtMs, receivedAtMs] = entry;
  return { protocol, method, path, parent, state, peer, firstByteAtMs, receivedAtMs };
}
