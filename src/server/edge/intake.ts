import { makeSharedLimit } from './shared-limit.js';
import type { Limit, MakeLimit } from './shared-limit.js';
import { describeBusy } from '../../protocol/status.js';
import type { Compat, EdgeCause, ErrorReply } from '../../protocol/status.js';

/*
 * What both front ends let in, decided by the head of a call alone: before any of its body is read, and before it costs anything else.
 * And the count of what never became a request, so that what clients were answered and what the server counts add up.
 */

/** `metrics`: the metrics port, with its dashboard. */
export type Protocol = 'rest' | 'grpc' | 'metrics';

/** How much of what comes is to be turned away, in [0, 1], and why: one clause. */
export interface Pressure {
  readonly fraction: number;
  readonly cause: string;
}

export interface IntakeOptions {
  /** Calls in progress at both front ends. */
  readonly maxCalls: number;
  /** Of any limit, what one client may hold, in (0, 1]. */
  readonly clientFraction: number;
  readonly compat: Compat;
  /** Asked for every call; absent: there is none. */
  readonly pressure?: () => Pressure;
  /** Absent: of this thread alone. */
  readonly makeLimit?: MakeLimit;
  /** An answer that is no outcome of a request. */
  readonly onRefused?: (protocol: Protocol, cause: EdgeCause) => void;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #calls: Limit;
  /** Turned away when it reaches 1, so that a fraction of calls is, without chance. */
  #owed = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#calls = (options.makeLimit ?? makeSharedLimit)('calls', options.maxCalls, options.clientFraction);
  }

  get callsInProgress(): number {
    return this.#calls.held;
  }

  /** Of a front end's connections, where those of other threads count. */
  connectionLimit(protocol: 'rest' | 'grpc', most: number, clientFraction: number): Limit {
    return (this.#options.makeLimit ?? makeSharedLimit)(protocol, most, clientFraction);
  }

  /** @returns null: it has begun, and `end` follows; else what to answer at once */
  begin(client: string): ErrorReply | null {
    const { compat, pressure } = this.#options;
    const claim = this.#calls.take(client, 1);
    if (claim === 'full')
      return describeBusy('queue_full', `${this.#calls.most} calls are in progress, which is the limit`, compat);
    if (claim === 'client-full') {
      const cause = `${this.#calls.mostForOne} calls of this client are in progress, which is the limit for one`;
      return describeBusy('client_limit', cause, compat);
    }
    const shed = pressure === undefined ? null : this.#shed(pressure());
    if (shed === null) return null;
    this.#calls.give(client, 1);
    return describeBusy('server_overload', shed, compat);
  }

  end(client: string): void {
    this.#calls.give(client, 1);
  }

  /** An answer was sent that is no outcome of a request. */
  count(protocol: Protocol, cause: EdgeCause): void {
    this.#options.onRefused?.(protocol, cause);
  }

  #shed({ fraction, cause }: Pressure): string | null {
    if (fraction <= 0) {
      this.#owed = 0;
      return null;
    }
    this.#owed += fraction;
    if (this.#owed < 1) return null;
    this.#owed -= 1;
    return cause;
  }
}
