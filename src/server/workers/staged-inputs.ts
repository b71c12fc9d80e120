import type { Tensor } from '../../scheduler/domain/tensor.js';
import { reached } from '../path-points.js';
import { MAX_PAYLOAD_BYTES, payloadBytes } from './frames.js';
import { MAX_ENCLOSED_BYTES, type EnclosedInputs, type StagedPlaces } from './messages.js';
import type { PlacedInputs } from './placed-tensors.js';
import { StagingWatch } from './staging-watch.js';

/*
 * The inputs that lie in the worker, or wait in the router for room there: first come, first staged. Synthetic inputs take
 * no room: a client's request that takes it may itself be waiting for the profiler, or the profiler for it. The profiler
 * keeps at most one batch of them. Small inputs are not sent ahead: they go with the batch that they run in. Nor are those that fit into
 * shared memory: the batch says where they lie.
 *
 * Invariant: the bytes counted are those of the requests whose inputs were sent and not forgotten since.
 */

export const DEFAULT_MAX_STAGED_BYTES = 512 * 1024 ** 2;

/** Shared memory is for what is about to run; more of it would be for what waits. Only what is used of it takes memory. */
const MOST_SHARED_BYTES = 64 * 1024 ** 2;
const SHARED_FRACTION = 1 / 8;
const PAGE_BYTES = 4096;

/** Of what may lie in a worker, what is shared for inputs, and as much again for outputs. */
export function sharedBytesOf(maxStagedBytes: number): number {
  return Math.min(MOST_SHARED_BYTES, Math.floor((SHARED_FRACTION * maxStagedBytes) / PAGE_BYTES) * PAGE_BYTES);
}

export interface StagedInputs {
  readonly sequence: number;
  readonly inputs: readonly Tensor[];
  readonly outputNames: readonly string[];
  readonly isSynthetic: boolean;
  readonly onStaged: () => void;
  /** Null where the pool's own event tells it. */
  readonly onLost: ((message: string) => void) | null;
}

/** What staging needs of the connection. */
export interface StagingPort {
  /** Puts them into shared memory; null where there is none, or no room in it. */
  place(inputs: readonly Tensor[]): PlacedInputs | null;
  send(staged: StagedInputs): void;
  unstage(sequence: number): void;
  onHang(message: string): void;
}

interface Entry extends StagedInputs {
  /** Room that it takes. */
  readonly byteCount: number;
  /** Where they lie in shared memory; null where they do not. */
  readonly placed: PlacedInputs | null;
  /** waiting (for room) → sent → staged; `dropped`: unstaged before the worker had confirmed it; `here`: small or placed, to go with a batch. */
  state: 'waiting' | 'sent' | 'staged' | 'dropped' | 'here';
}

/** What a batch takes over. */
export interface TakenInputs {
  /** To `free` when the batch has ended. */
  readonly byteCount: number;
  /** Of members that the worker has nothing of yet, and their tensors. */
  readonly enclosed: readonly EnclosedInputs[];
  readonly tensors: readonly Tensor[];
  /** Of members whose inputs are in shared memory. */
  readonly placed: readonly StagedPlaces[];
  /** To be called when the batch has ended, or its worker is given up. */
  readonly releasePlaces: () => void;
}

export class InputStaging {
  readonly #port: StagingPort;
  readonly #maxBytes: number;
  readonly #watch: StagingWatch;
  readonly #entries = new Map<number, Entry>();
  /** Those of `#entries` that wait for room, in order. */
  readonly #waiting = new Set<Entry>();
  /** Those that are here and whose owners are to be told that they may run. */
  #untold: Entry[] = [];
  #bytes = 0;

  constructor(port: StagingPort, maxBytes: number) {
    this.#port = port;
    this.#maxBytes = maxBytes;
    this.#watch = new StagingWatch((message) => port.onHang(message));
  }

  /** @throws RangeError when no frame can carry the inputs */
  add(staged: StagedInputs): void {
    const payload = payloadBytes(staged.inputs);
    if (payload > MAX_PAYLOAD_BYTES) throw new RangeError(`inputs of ${payload} bytes exceed ${MAX_PAYLOAD_BYTES}`);
    const { sequence, inputs, outputNames, isSynthetic, onStaged, onLost } = staged;
    const isSmall = !isSynthetic && payload <= MAX_ENCLOSED_BYTES;
    const placed = isSynthetic || isSmall ? null : this.#port.place(inputs);
    const isHere = isSmall || placed !== null;
    const byteCount = isSynthetic || isHere ? 0 : payload;
    const state = isHere ? 'here' : 'waiting';
    const entry: Entry = { sequence, inputs, outputNames, isSynthetic, onStaged, onLost, byteCount, placed, state };
    this.#entries.set(entry.sequence, entry);
    if (isHere) {
      if (this.#untold.push(entry) === 1) setImmediate(() => this.#tellHere());
      return;
    }
    if (entry.isSynthetic) {
      this.#send(entry);
      return;
    }
    this.#waiting.add(entry);
    this.#sendWaiting();
  }

  /** The worker has them. */
  confirm(sequence: number): void {
    this.#watch.confirmed();
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    if (entry.state === 'dropped') {
      this.#forget(entry);
      return;
    }
    entry.state = 'staged';
    reached('staged');
    entry.onStaged();
  }

  /** Forgets them. @returns false when they are not here */
  remove(sequence: number): boolean {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return false;
    switch (entry.state) {
      case 'waiting':
        this.#waiting.delete(entry);
        this.#entries.delete(sequence);
        return true;
      case 'here':
        this.#entries.delete(sequence);
        entry.placed?.release();
        return true;
      case 'sent':
        // On the control connection this could overtake the inputs; it follows once the worker has them.
        entry.state = 'dropped';
        return true;
      case 'staged':
        this.#forget(entry);
        return true;
      case 'dropped':
        return true;
    }
  }

  /** They may be run. */
  isStaged(sequence: number): boolean {
    const state = this.#entries.get(sequence)?.state;
    return state === 'staged' || state === 'here';
  }

  /** Hands inputs over to a batch, with which the worker forgets them. */
  take(sequences: readonly number[]): TakenInputs {
    let byteCount = 0;
    const enclosed: EnclosedInputs[] = [];
    const tensors: Tensor[] = [];
    const placed: StagedPlaces[] = [];
    const held: PlacedInputs[] = [];
    for (const sequence of sequences) {
      const entry = this.#entries.get(sequence)!;
      this.#entries.delete(sequence);
      byteCount += entry.byteCount;
      const { outputNames, inputs } = entry;
      if (entry.placed !== null) {
        placed.push({ sequence, outputNames, tensors: entry.placed.tensors });
        held.push(entry.placed);
      } else if (entry.state === 'here') {
        enclosed.push({ sequence, outputNames, tensorCount: inputs.length });
        tensors.push(...inputs);
      }
    }
    const releasePlaces = (): void => held.forEach((each) => each.release());
    return { byteCount, enclosed, tensors, placed, releasePlaces };
  }

  free(byteCount: number): void {
    this.#bytes -= byteCount;
    this.#sendWaiting();
  }

  /** The worker is gone, and all it had. @returns what was lost */
  clear(): StagedInputs[] {
    const lost = [...this.#entries.values()];
    for (const { placed } of lost) placed?.release();
    this.#entries.clear();
    this.#waiting.clear();
    this.#bytes = 0;
    this.#watch.reset();
    return lost;
  }

  #tellHere(): void {
    const untold = this.#untold;
    this.#untold = [];
    reached('staged');
    for (const entry of untold) if (this.#entries.get(entry.sequence) === entry) entry.onStaged();
  }

  /** Sends in order while there is room. A request larger than all the room there is goes when it is alone. */
  #sendWaiting(): void {
    for (const entry of this.#waiting) {
      if (this.#bytes > 0 && this.#bytes + entry.byteCount > this.#maxBytes) return;
      this.#waiting.delete(entry);
      this.#send(entry);
    }
  }

  #send(entry: Entry): void {
    this.#bytes += entry.byteCount;
    entry.state = 'sent';
    this.#port.send(entry);
    this.#watch.sent();
  }

  #forget({ sequence, byteCount }: Entry): void {
    this.#entries.delete(sequence);
    this.#port.unstage(sequence);
    this.free(byteCount);
  }
}
