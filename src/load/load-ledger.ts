import type { PlannedRequest } from './load-plan.js';
import type { Reply } from './transport.js';

/* What became of each request, as its client saw it: columns, so that minutes of load cost little and cross threads. */

/** How a request ended for its client. Cancelled: it left by itself, as planned. */
export const CLIENT_OUTCOMES = ['on-time', 'late', 'refused', 'lost', 'cancelled'] as const;
export type ClientOutcome = (typeof CLIENT_OUTCOMES)[number];

export type RequestEnd = Reply | { readonly kind: 'cancelled'; readonly reason: string };

/** One entry a request, as they ended; NaN where it is not known. Plain data. */
export interface LoadColumns {
  /** Of the plan. */
  readonly index: Int32Array;
  readonly client: Int32Array;
  readonly sentAtMs: Float64Array;
  readonly sloMs: Float64Array;
  /** Into `CLIENT_OUTCOMES`, and into `reasons`. */
  readonly outcome: Uint8Array;
  readonly reason: Int32Array;
  readonly reasons: readonly string[];
  /** Planned send instant → answer at the client. */
  readonly latencyMs: Float64Array;
  /** Actual − planned instant of the first byte. */
  readonly sendLateMs: Float64Array;
  /** Planned upload, first to last byte, and its actual end − planned end. */
  readonly uploadMs: Float64Array;
  readonly uploadLateMs: Float64Array;
  /** What the server said: budget, network delay, queue, dispatch → reply, batch size, millicores. */
  readonly budgetMs: Float64Array;
  readonly networkDelayMs: Float64Array;
  readonly queuedMs: Float64Array;
  readonly workerMs: Float64Array;
  readonly batchSize: Float64Array;
  readonly cpuMillicores: Float64Array;
}

type NumberColumn = {
  [Key in keyof LoadColumns]: LoadColumns[Key] extends Float64Array ? Key : never;
}[keyof LoadColumns];

const NUMBER_COLUMNS: readonly NumberColumn[] = [
  'sentAtMs',
  'sloMs',
  'latencyMs',
  'sendLateMs',
  'uploadMs',
  'uploadLateMs',
  'budgetMs',
  'networkDelayMs',
  'queuedMs',
  'workerMs',
  'batchSize',
  'cpuMillicores',
];

/** Counts while a run goes on. */
export interface LoadCounts {
  readonly sent: number;
  readonly outcomes: Readonly<Record<ClientOutcome, number>>;
}

export class LoadLedger {
  readonly #sendLateMs = new Map<number, number>();
  readonly #uploadLateMs = new Map<number, number>();
  readonly #numbers: Record<NumberColumn, number[]>;
  readonly #index: number[] = [];
  readonly #client: number[] = [];
  readonly #outcome: number[] = [];
  readonly #reason: number[] = [];
  readonly #reasons: string[] = [];
  readonly #counts: Record<ClientOutcome, number> = { 'on-time': 0, late: 0, refused: 0, lost: 0, cancelled: 0 };
  #sent = 0;

  constructor() {
    this.#numbers = Object.fromEntries(NUMBER_COLUMNS.map((name) => [name, [] as number[]])) as Record<
      NumberColumn,
      number[]
    >;
  }

  get counts(): LoadCounts {
    return { sent: this.#sent, outcomes: { ...this.#counts } };
  }

  sent({ index, firstByteAtMs }: PlannedRequest, atMs: number): void {
    this.#sent += 1;
    this.#sendLateMs.set(index, atMs - firstByteAtMs);
  }

  uploaded({ index, upload }: PlannedRequest, atMs: number): void {
    // A request that ended before its upload did has no end of it.
    if (upload !== null && this.#sendLateMs.has(index)) this.#uploadLateMs.set(index, atMs - upload.endAtMs);
  }

  /**
   * @param receivedAtMs the answer is at the client
   * @param repliedAtMs it is on this machine; null where there is none
   */
  ended(request: PlannedRequest, end: RequestEnd, receivedAtMs: number, repliedAtMs: number | null): void {
    const { index, client, sentAtMs, sloMs, upload } = request;
    const latencyMs = receivedAtMs - sentAtMs;
    const outcome = outcomeOf(end, latencyMs, request.patienceMs);
    this.#counts[outcome] += 1;
    this.#index.push(index);
    this.#client.push(client);
    this.#outcome.push(CLIENT_OUTCOMES.indexOf(outcome));
    this.#reason.push(this.#reasonIndex(end.kind === 'answered' ? '' : end.reason));
    const explanation = end.kind === 'answered' ? end.explanation : null;
    const push = (name: NumberColumn, value: number | null | undefined): number =>
      this.#numbers[name].push(value ?? NaN);
    push('sentAtMs', sentAtMs);
    push('sloMs', sloMs);
    push('latencyMs', repliedAtMs === null ? null : latencyMs);
    push('sendLateMs', this.#sendLateMs.get(index));
    push('uploadMs', upload === null ? null : upload.endAtMs - upload.sentAtMs - upload.propagationMs);
    push('uploadLateMs', this.#uploadLateMs.get(index));
    push('budgetMs', explanation?.budgetMs);
    push('networkDelayMs', explanation?.networkDelayMs);
    push('queuedMs', explanation?.queuedMs);
    push('workerMs', explanation?.latencyMs);
    push('batchSize', explanation?.batchSize);
    push('cpuMillicores', explanation?.cpuMillicores);
    this.#sendLateMs.delete(index);
    this.#uploadLateMs.delete(index);
  }

  columns(): LoadColumns {
    const numbers = Object.fromEntries(
      NUMBER_COLUMNS.map((name) => [name, Float64Array.from(this.#numbers[name])]),
    ) as Record<NumberColumn, Float64Array>;
    return {
      ...numbers,
      index: Int32Array.from(this.#index),
      client: Int32Array.from(this.#client),
      outcome: Uint8Array.from(this.#outcome),
      reason: Int32Array.from(this.#reason),
      reasons: [...this.#reasons],
    };
  }

  /** A server may give any text; only so many are told apart. */
  #reasonIndex(reason: string): number {
    const short = reason.slice(0, 100);
    const name = this.#reasons.length < MOST_REASONS || this.#reasons.includes(short) ? short : 'other';
    const known = this.#reasons.indexOf(name);
    return known === -1 ? this.#reasons.push(name) - 1 : known;
  }
}

const MOST_REASONS = 50;

function outcomeOf(end: RequestEnd, latencyMs: number, patienceMs: number): ClientOutcome {
  if (end.kind !== 'answered') return end.kind;
  return latencyMs <= patienceMs ? 'on-time' : 'late';
}

/** Of several threads, one after the other. */
export function joinColumns(parts: readonly LoadColumns[]): LoadColumns {
  const reasons = [...new Set(parts.flatMap((part) => part.reasons))];
  const joined = <T>(of: (part: LoadColumns) => Iterable<T>): T[] => parts.flatMap((part) => [...of(part)]);
  const numbers = Object.fromEntries(
    NUMBER_COLUMNS.map((name) => [name, Float64Array.from(joined((part) => part[name]))]),
  ) as Record<NumberColumn, Float64Array>;
  return {
    ...numbers,
    index: Int32Array.from(joined((part) => part.index)),
    client: Int32Array.from(joined((part) => part.client)),
    outcome: Uint8Array.from(joined((part) => part.outcome)),
    reason: Int32Array.from(joined((part) => [...part.reason].map((at) => reasons.indexOf(part.reasons[at]!)))),
    reasons,
  };
}
