import { closeSync } from 'node:fs';
import { PlaceTable, type Place } from './place-table.js';
import { createToWrite, forget, type SharedMemory } from './shared-memory.js';

/*
 * Where the router puts inputs for its worker, and for the one after it: all processes of a pool read the same arena. A place is held
 * by whoever needs what is in it, and free when nobody does: a call until its end, a batch until its worker has answered or is
 * given up. What a worker that is given up still reads is nobody's any more.
 */

/** After so long without a place taken the pages of free ones are given back. */
const IDLE_MS = 5000;

/** Of an arena; held by at least one until it is free. */
export interface HeldPlace {
  /** Where its contents end at `PLACE_ALIGNMENT`, so that what lies last is aligned for any element. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  hold(): void;
  /** Once for the taking, and once for each `hold`. */
  release(): void;
}

export class InputArena {
  readonly #memory: SharedMemory;
  readonly #table: PlaceTable;
  readonly #held = new Map<number, number>();
  /** Runs while there may be pages to give back. */
  #idleTimer: NodeJS.Timeout | undefined;
  #isInUse = false;
  #isClosed = false;

  private constructor(memory: SharedMemory) {
    this.#memory = memory;
    this.#table = new PlaceTable(memory.bytes.byteLength);
  }

  /** @throws Error, one line, where memory cannot be shared */
  static open(byteCount: number): InputArena {
    return new InputArena(createToWrite(byteCount));
  }

  /** The other side reads by it. */
  get fd(): number {
    return this.#memory.fd;
  }

  get byteCount(): number {
    return this.#table.byteCount;
  }

  get takenCount(): number {
    return this.#table.takenCount;
  }

  /** No more processes will read it. What is held stays as it is; the pages of all else are given back. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#memory.fd);
    clearTimeout(this.#idleTimer);
    this.#forgetFree();
  }

  /** @returns null where there is no room */
  take(byteCount: number): HeldPlace | null {
    const place = this.#table.take(byteCount);
    if (place === null) return null;
    this.#held.set(place.id, 1);
    this.#isInUse = true;
    const end = place.offset + place.byteCount;
    return this.#holder(place, this.#memory.bytes.subarray(end - byteCount, end));
  }

  /** The place that these bytes lie in; null where they are somewhere else. */
  placeOf(bytes: Uint8Array): HeldPlace | null {
    if (bytes.buffer !== this.#memory.bytes.buffer) return null;
    const place = this.#table.placeAt(bytes.byteOffset);
    if (place === null) throw new Error('shared memory that nobody holds is still in use');
    return this.#holder(place, this.#memory.bytes.subarray(place.offset, place.offset + place.byteCount));
  }

  #holder({ id }: Place, bytes: Uint8Array<ArrayBuffer>): HeldPlace {
    return {
      bytes,
      hold: () => void this.#held.set(id, this.#held.get(id)! + 1),
      release: () => this.#release(id),
    };
  }

  #release(id: number): void {
    const holders = this.#held.get(id);
    if (holders === undefined) throw new Error(`place ${id} is free already`);
    if (holders > 1) {
      this.#held.set(id, holders - 1);
      return;
    }
    this.#held.delete(id);
    this.#table.release(id);
    if (this.#isClosed) this.#forgetFree();
    else if (this.#idleTimer === undefined) this.#forgetWhenIdle();
  }

  #forgetFree(): void {
    forget(this.#memory.bytes, this.#table.gaps());
  }

  /** One timer however many come and go: to set one for each would be a cost of each. */
  #forgetWhenIdle(): void {
    this.#isInUse = false;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      if (this.#isInUse) this.#forgetWhenIdle();
      else this.#forgetFree();
    }, IDLE_MS);
    this.#idleTimer.unref();
  }
}
