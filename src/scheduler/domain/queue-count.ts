import type { EventRecord } from './event-record.js';

/*
 * How many requests wait, followed through the records. Each admission tells the depth; between admissions it falls by what a
 * batch takes and by who ends while waiting, and grows by the members of a broken batch, which are tried again. So an observer
 * that joined in the middle of a run is right from the next admission on. Of bounded size, whatever is sent.
 */

/** Requests that are followed; a run that has more of them under way forgets the oldest. */
const MAX_FOLLOWED = 65_536;

export class QueueCount {
  #depth = 0;
  readonly #waiting = new Set<number>();
  /** Members that have no outcome yet, of each batch that runs. */
  readonly #running = new Map<number, Set<number>>();
  readonly #batchOf = new Map<number, number>();

  get depth(): number {
    return this.#depth;
  }

  apply(record: EventRecord): void {
    switch (record.kind) {
      case 'request-admitted':
        this.#wait(record.sequence);
        this.#depth = record.queueDepth;
        return;
      case 'request-finished':
        if (this.#waiting.delete(record.sequence)) this.#depth = Math.max(0, this.#depth - 1);
        else this.#leaveBatch(record.sequence);
        return;
      case 'batch-started':
        this.#start(record.batchId, record.sequences);
        return;
      case 'batch-ended':
        this.#end(record.batchId, record.result === 'completed');
        return;
      default:
        return;
    }
  }

  #start(batchId: number, sequences: readonly number[]): void {
    const members = new Set(sequences.slice(0, MAX_FOLLOWED));
    for (const sequence of members) {
      this.#waiting.delete(sequence);
      this.#batchOf.set(sequence, batchId);
    }
    this.#running.set(batchId, members);
    while (this.#batchOf.size > MAX_FOLLOWED) this.#forget(oldest(this.#running.keys()));
    this.#depth = Math.max(0, this.#depth - sequences.length);
  }

  #end(batchId: number, isCompleted: boolean): void {
    const members = this.#running.get(batchId);
    if (members === undefined) return;
    this.#forget(batchId);
    if (isCompleted) return;
    for (const sequence of members) this.#wait(sequence);
    this.#depth += members.size;
  }

  #wait(sequence: number): void {
    this.#waiting.add(sequence);
    if (this.#waiting.size > MAX_FOLLOWED) this.#waiting.delete(oldest(this.#waiting));
  }

  #leaveBatch(sequence: number): void {
    const batchId = this.#batchOf.get(sequence);
    if (batchId === undefined) return;
    this.#batchOf.delete(sequence);
    this.#running.get(batchId)?.delete(sequence);
  }

  #forget(batchId: number): void {
    for (const sequence of this.#running.get(batchId) ?? []) this.#batchOf.delete(sequence);
    this.#running.delete(batchId);
  }
}

/** Sets and maps keep the order in which they were filled. */
function oldest(keys: Iterable<number>): number {
  const [first] = keys;
  return first!;
}
