import type { ModelRecord } from '../../scheduler/domain/event-record.js';
import type { Standing } from './standing.js';

/*
 * The last minute of the event stream, for whoever begins to watch now. It is kept in chunks, one for each message of the
 * live feed: a subscriber is a place in the ring and holds nothing of its own, however slow it is.
 */

/** What a new subscriber is given. */
const HISTORY_MS = 60_000;
const HISTORY_RECORDS = 80_000;
/** Kept beyond that, so that one on a slow network has time to begin before what it is given is dropped. */
const SPARE_FRACTION = 0.25;

/** Records that went out together, and their JSON, which is made when the first reader asks and only once. */
export class RecordChunk {
  /** When it was closed: not before any of its records. */
  readonly atMs: number;
  readonly count: number;
  /** Of each model before the first record of the chunk; of those there were. */
  readonly before: readonly Standing[];
  #records: readonly ModelRecord[];
  #lines: readonly string[] | null = null;
  #message: Buffer | null = null;

  constructor(atMs: number, records: readonly ModelRecord[], before: readonly Standing[]) {
    this.atMs = atMs;
    this.count = records.length;
    this.before = before;
    this.#records = records;
  }

  /** To be read while the chunk is new: as a message it is held only as bytes. */
  get records(): readonly ModelRecord[] {
    return this.#records;
  }

  /** One JSON object a record, for the operator's own log; to be read while the chunk is new, as above. */
  get lines(): readonly string[] {
    this.#lines ??= this.#records.map((record) => JSON.stringify(record));
    return this.#lines;
  }

  /** As server-sent events carry it: to whoever asks, so without what clients are called. */
  get message(): Buffer {
    this.#message ??= messageOf(
      this.atMs,
      this.#records.map((record) => JSON.stringify(withoutClient(record))),
    );
    this.#records = [];
    this.#lines = null;
    return this.#message;
  }

  /** The chunk is not new any more: its lines, if there were any, are in their log, and only a message may be asked for. */
  settle(): void {
    this.#lines = null;
  }
}

function withoutClient(record: ModelRecord): ModelRecord {
  return record.kind === 'request-received' ? { ...record, client: '' } : record;
}

/** JSON has no line breaks of its own, so that a message is one `data:` line. */
export function messageOf(atMs: number, lines: readonly string[]): Buffer {
  return Buffer.from(`data: {"atMs":${Math.round(atMs * 1000) / 1000},"records":[${lines.join(',')}]}\n\n`);
}

export interface RingLimits {
  readonly historyMs: number;
  readonly historyRecords: number;
}

export const RING_LIMITS: RingLimits = { historyMs: HISTORY_MS, historyRecords: HISTORY_RECORDS };

export class RecordRing {
  readonly #limits: RingLimits;
  #chunks: RecordChunk[] = [];
  /** Index of the first chunk that is held, counted from the first there ever was. */
  #oldest = 0;
  #recordCount = 0;

  constructor(limits: RingLimits) {
    this.#limits = limits;
  }

  get oldest(): number {
    return this.#oldest;
  }

  /** Index of the chunk that comes next. */
  get end(): number {
    return this.#oldest + this.#chunks.length;
  }

  /** Undefined where it has been dropped or is still to come. */
  at(index: number): RecordChunk | undefined {
    return this.#chunks[index - this.#oldest];
  }

  /** Readers that are not at the end have lost their place. */
  clear(): void {
    if (this.#chunks.length === 0) return;
    this.#oldest = this.end;
    this.#chunks = [];
    this.#recordCount = 0;
  }

  append(chunk: RecordChunk): void {
    this.#chunks.push(chunk);
    this.#recordCount += chunk.count;
    const { historyMs, historyRecords } = this.#limits;
    const dropBeforeMs = chunk.atMs - historyMs * (1 + SPARE_FRACTION);
    const mostRecords = historyRecords * (1 + SPARE_FRACTION);
    let dropped = 0;
    // The newest stays, whatever its size: its readers are about to be told.
    while (
      dropped < this.#chunks.length - 1 &&
      (this.#chunks[dropped]!.atMs < dropBeforeMs || this.#recordCount > mostRecords)
    ) {
      this.#recordCount -= this.#chunks[dropped]!.count;
      dropped += 1;
    }
    if (dropped === 0) return;
    this.#chunks.splice(0, dropped);
    this.#oldest += dropped;
  }

  /** Where history begins for a reader that comes now; `end` where there is none. */
  startOfHistory(nowMs: number): number {
    const { historyMs, historyRecords } = this.#limits;
    let start = this.end;
    let count = 0;
    for (let chunk = this.at(start - 1); chunk !== undefined; chunk = this.at(start - 1)) {
      count += chunk.count;
      if (chunk.atMs < nowMs - historyMs || count > historyRecords) break;
      start -= 1;
    }
    return start;
  }
}
