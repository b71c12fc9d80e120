import type { LoadPlan, PlannedRequest } from './load-plan.js';
import type { LoadColumns, LoadLedger } from './load-ledger.js';
import type { CallEvents, Transport } from './transport.js';

/*
 * Sends a plan to a server and judges it as its clients would. Open loop: a request leaves at its planned instant whatever
 * became of those before it, and its latency counts from that instant, also where the generator itself was late: waiting
 * that a slow server causes is never left out (coordinated omission).
 */

/** A client waits so long beyond its SLO before it gives up: long enough to tell late from never. */
const PATIENCE_BEYOND_SLO_MS = 10_000;
/** What a server that answers nothing may make this process hold. */
const MOST_IN_FLIGHT = 20_000;
/** `setTimeout` fires up to about a millisecond late; what is due by then goes along. */
const SEND_AHEAD_MS = 0.5;

export interface LoadRunOptions {
  readonly plan: LoadPlan;
  readonly transport: Transport;
  /** The clock of the run; the plan's 0 is its 0. */
  readonly nowMs: () => number;
  readonly signal?: AbortSignal;
}

/** Resolves when every request has ended, or at once when aborted: what is open then is left out. */
export function runLoad(options: LoadRunOptions, ledger: LoadLedger): Promise<LoadColumns> {
  return new Promise((resolve) => new LoadRun(options, ledger, resolve).begin());
}

class LoadRun {
  readonly #options: LoadRunOptions;
  readonly #ledger: LoadLedger;
  readonly #requests: readonly PlannedRequest[];
  readonly #open = new Map<number, () => void>();
  readonly #resolve: (columns: LoadColumns) => void;
  #next = 0;
  #ended = 0;
  #timer: NodeJS.Timeout | null = null;
  #isOver = false;

  constructor(options: LoadRunOptions, ledger: LoadLedger, resolve: (columns: LoadColumns) => void) {
    this.#options = options;
    this.#ledger = ledger;
    this.#requests = options.plan.requests;
    this.#resolve = resolve;
  }

  begin(): void {
    this.#options.signal?.addEventListener('abort', () => this.#finish(true), { once: true });
    this.#sendDue();
  }

  #sendDue(): void {
    if (this.#isOver) return;
    const nowMs = this.#options.nowMs();
    while (this.#next < this.#requests.length && this.#requests[this.#next]!.firstByteAtMs <= nowMs + SEND_AHEAD_MS) {
      this.#send(this.#requests[this.#next++]!, nowMs);
    }
    if (this.#next < this.#requests.length) {
      const leftMs = this.#requests[this.#next]!.firstByteAtMs - this.#options.nowMs();
      this.#timer = setTimeout(() => this.#sendDue(), Math.max(1, Math.round(leftMs)));
    } else if (this.#ended === this.#requests.length) this.#finish(false);
  }

  #send(request: PlannedRequest, nowMs: number): void {
    const ledger = this.#ledger;
    const { plan, transport, nowMs: readNowMs } = this.#options;
    ledger.sent(request, nowMs);
    if (this.#open.size >= MOST_IN_FLIGHT) {
      ledger.ended(request, { kind: 'lost', reason: `${MOST_IN_FLIGHT} requests in flight` }, nowMs, null);
      this.#ended += 1;
      return;
    }
    const timers: NodeJS.Timeout[] = [];
    let abandon: () => void = () => undefined;
    const end = (): boolean => {
      if (!this.#open.delete(request.index)) return false;
      timers.forEach((timer) => clearTimeout(timer));
      this.#ended += 1;
      return true;
    };
    const leave = (kind: 'cancelled' | 'lost', reason: string): void => {
      if (!end()) return;
      abandon();
      ledger.ended(request, { kind, reason }, readNowMs(), null);
      this.#checkEnd();
    };
    const events: CallEvents = {
      onSent: (atMs) => ledger.uploaded(request, atMs),
      onReply: (reply, atMs) => {
        if (!end()) return;
        // What the answer still needs on the client's link; its end is known, nobody has to wait for it.
        ledger.ended(request, reply, plan.replyEndAtMs(request, atMs), atMs);
        this.#checkEnd();
      },
    };
    this.#open.set(request.index, () => {
      if (end()) abandon();
    });
    const after = (atMs: number, fire: () => void): number => timers.push(setTimeout(fire, Math.max(1, atMs - nowMs)));
    after(request.sentAtMs + request.sloMs + PATIENCE_BEYOND_SLO_MS, () => leave('lost', 'no answer'));
    // Who leaves after its deadline was not answered in time.
    const leaving = request.leavesAtMs < request.sentAtMs + request.patienceMs ? 'cancelled' : 'lost';
    if (request.leavesAtMs < Infinity) after(request.leavesAtMs, () => leave(leaving, 'left'));
    abandon = transport.send(request, events);
  }

  #checkEnd(): void {
    if (this.#next === this.#requests.length && this.#ended === this.#requests.length) this.#finish(false);
  }

  /** Not before clients stop sending: a rate is per planned duration. */
  #finish(isInterrupted: boolean): void {
    if (this.#isOver) return;
    const leftMs = this.#options.plan.durationMs - this.#options.nowMs();
    if (!isInterrupted && leftMs > 0) {
      this.#timer = setTimeout(() => this.#finish(false), leftMs);
      return;
    }
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const abandon of [...this.#open.values()]) abandon();
    this.#options.transport.close();
    this.#resolve(this.#ledger.columns());
  }
}
