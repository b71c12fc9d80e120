import type { Claim, Limit } from '../edge/shared-limit.js';

/*
 * A limit that threads share: what all of them hold together stays within what one thread alone would be let hold, in all and of any one
 * client. Without a lock, which a thread could die with: each thread counts what it holds itself, in cells that nobody else writes, and
 * reads those of the others. Who takes publishes first and looks then, and takes back what was too much: of two that race for the last
 * one at least one sees the other. Both may, and both be refused; never are both let in.
 *
 * Clients are cells, two for each, by hashes that nobody outside can foresee. What a client holds is at most the smaller of what its two
 * cells hold: another one that shares both makes the limit stricter for either, never looser.
 *
 * Invariant: of a thread that is gone nothing counts, once its cells are cleared.
 */

/** Of each of the two rows. Two of a hundred clients share both cells in one of 3000 servers. */
const CELLS = 4096;
const TOTAL_CELL = 0;
const CELLS_OF_THREAD = 1 + 2 * CELLS;

export interface SharedCells {
  readonly memory: SharedArrayBuffer;
  readonly threadCount: number;
  /** For the hashes; the same in all threads. */
  readonly seed: number;
}

export function createCells(threadCount: number, seed: number): SharedCells {
  const memory = new SharedArrayBuffer(threadCount * CELLS_OF_THREAD * Int32Array.BYTES_PER_ELEMENT);
  return { memory, threadCount, seed };
}

/** What a thread held that is no more. */
export function clearCells({ memory }: SharedCells, thread: number): void {
  const cells = new Int32Array(memory, thread * CELLS_OF_THREAD * Int32Array.BYTES_PER_ELEMENT, CELLS_OF_THREAD);
  for (let at = 0; at < CELLS_OF_THREAD; at++) Atomics.store(cells, at, 0);
}

export class ThreadLimit implements Limit {
  most: number;
  readonly #clientFraction: number;
  readonly #unit: number;
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #thread: number;
  readonly #threadCount: number;
  readonly #seed: number;
  readonly #heldBy = new Map<string, number>();
  /** What this thread holds, exactly, by cell. */
  readonly #own = new Float64Array(CELLS_OF_THREAD);

  /** @param unit of what the others are told, such that `most` fits into 31 bits of it */
  constructor(shared: SharedCells, thread: number, limit: { most: number; clientFraction: number; unit: number }) {
    this.most = limit.most;
    this.#clientFraction = limit.clientFraction;
    this.#unit = limit.unit;
    this.#cells = new Int32Array(shared.memory);
    this.#thread = thread;
    this.#threadCount = shared.threadCount;
    this.#seed = shared.seed;
  }

  get held(): number {
    return this.#holds(TOTAL_CELL);
  }

  get mostForOne(): number {
    return Math.max(1, Math.floor(this.#clientFraction * this.most));
  }

  take(client: string, amount: number): Claim {
    this.takeOver(client, amount);
    if (this.held > this.most) return this.#refuse(client, amount, 'full');
    const [first, second] = this.#cellsOf(client);
    if (Math.min(this.#holds(first), this.#holds(second)) <= this.mostForOne) return 'granted';
    return this.#refuse(client, amount, 'client-full');
  }

  takeOver(client: string, amount: number): void {
    this.#heldBy.set(client, (this.#heldBy.get(client) ?? 0) + amount);
    this.#add(client, amount);
  }

  give(client: string, amount: number): void {
    const left = (this.#heldBy.get(client) ?? 0) - amount;
    if (left < 0) throw new Error(`${client} gives back ${-left} more than it holds`);
    if (left === 0) this.#heldBy.delete(client);
    else this.#heldBy.set(client, left);
    this.#add(client, -amount);
  }

  #refuse(client: string, amount: number, claim: Claim): Claim {
    this.give(client, amount);
    return claim;
  }

  #add(client: string, amount: number): void {
    const [first, second] = this.#cellsOf(client);
    this.#addTo(TOTAL_CELL, amount);
    this.#addTo(first, amount);
    this.#addTo(second, amount);
  }

  #addTo(at: number, amount: number): void {
    const own = this.#own[at]! + amount;
    this.#own[at] = own;
    // In units, rounded up.
    Atomics.store(this.#cells, this.#thread * CELLS_OF_THREAD + at, Math.ceil(own / this.#unit));
  }

  /** Of a cell: this thread's exactly, the others' rounded up. */
  #holds(at: number): number {
    return this.#own[at]! + this.#othersHold(at);
  }

  #othersHold(at: number): number {
    let units = 0;
    for (let thread = 0; thread < this.#threadCount; thread++) {
      if (thread !== this.#thread) units += Atomics.load(this.#cells, thread * CELLS_OF_THREAD + at);
    }
    return units * this.#unit;
  }

  /** FNV-1a, from a start that nobody knows; the rows have a half of it each. */
  #cellsOf(client: string): readonly [number, number] {
    let hash = this.#seed;
    for (let at = 0; at < client.length; at++) hash = Math.imul(hash ^ client.charCodeAt(at), 0x0100_0193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash ^= hash >>> 13;
    return [1 + (hash & (CELLS - 1)), 1 + CELLS + ((hash >>> 16) & (CELLS - 1))];
  }
}
