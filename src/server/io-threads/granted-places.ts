import type { BodyPlace } from '../../protocol/service.js';
import type { Regions } from './addresses.js';
import type { Outbox } from './outbox.js';
import type { ToIoThread, ToPlanner, Where } from './wire.js';

/*
 * Places for bodies in memory that the worker reads, on an io thread. Whose they are the planning thread keeps, and nobody can wait for it in the
 * middle of a body; so it grants some beforehand. A body for which there is none has one asked for, of its size, and is read into memory of
 * its own; one that is used up is replaced at once. So clients whose bodies are of a size find a place from the second on.
 *
 * Invariant: a place is unused, or in use by one body, or the planning thread's again: with a call that says where its inputs lie, or returned.
 */

/** A place is used for a body of at least this share of it. */
const LEAST_USED = 1 / 2;
/** What nobody used for so long is given back. */
const IDLE_MS = 5000;

type GrantEntry = Extract<ToIoThread, readonly ['grant', ...unknown[]]>;

interface Grant {
  readonly id: number;
  readonly modelName: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  usedAtMs: number;
}

export class GrantedPlaces {
  readonly #regions: Regions;
  readonly #outbox: Outbox<ToPlanner>;
  readonly #nowMs: () => number;
  #unused: Grant[] = [];
  readonly #inUse = new Set<Grant>();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(regions: Regions, outbox: Outbox<ToPlanner>, nowMs: () => number) {
    this.#regions = regions;
    this.#outbox = outbox;
    this.#nowMs = nowMs;
  }

  add([, id, modelName, address, byteCount, region]: GrantEntry): void {
    const bytes = new Uint8Array(this.#regions.bufferOf(region), address - region[0], byteCount);
    this.#unused.push({ id, modelName, bytes, usedAtMs: this.#nowMs() });
    this.#idleTimer ??= setInterval(() => this.#returnIdle(), IDLE_MS).unref();
  }

  /** @returns null where there is none now */
  take(modelName: string, byteCount: number): BodyPlace | null {
    const index = this.#unused.findLastIndex(
      (each) =>
        each.modelName === modelName && byteCount <= each.bytes.length && byteCount >= LEAST_USED * each.bytes.length,
    );
    const [grant] = index < 0 ? [] : this.#unused.splice(index, 1);
    if (grant === undefined) {
      this.#outbox.push(['want', modelName, byteCount]);
      return null;
    }
    this.#inUse.add(grant);
    // At its end, where what lies last is aligned.
    return { bytes: grant.bytes.subarray(grant.bytes.length - byteCount), release: () => this.#release(grant) };
  }

  /** Where these bytes lie; null where that is in no place that is in use. */
  whereIs(data: Uint8Array): { readonly grantId: number; readonly where: Where } | null {
    for (const { id, bytes } of this.#inUse) {
      const offset = data.byteOffset - bytes.byteOffset;
      if (data.buffer !== bytes.buffer || offset < 0 || offset + data.byteLength > bytes.length) continue;
      return { grantId: id, where: ['grant', id, offset] };
    }
    return null;
  }

  /** The planning thread has it back, with the call that its inputs are in. */
  handedBack(grantId: number): void {
    for (const grant of this.#inUse) if (grant.id === grantId) this.#inUse.delete(grant);
  }

  #release(grant: Grant): void {
    if (!this.#inUse.delete(grant)) return;
    grant.usedAtMs = this.#nowMs();
    this.#unused.push(grant);
  }

  #returnIdle(): void {
    const sinceMs = this.#nowMs() - IDLE_MS;
    for (const { id, usedAtMs } of this.#unused) if (usedAtMs < sinceMs) this.#outbox.push(['return', id]);
    this.#unused = this.#unused.filter(({ usedAtMs }) => usedAtMs >= sinceMs);
    if (this.#unused.length > 0) return;
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
  }
}
