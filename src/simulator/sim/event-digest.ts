import type { Event } from '../../scheduler/domain/event.js';
import { outcomeName, type OutcomeName } from '../../scheduler/domain/outcome.js';

/**
 * A fingerprint of an event log: two runs with the same one have done the same, event by event and bit for bit. It mixes
 * the numbers of each event, not a text of it: a simulation makes millions of them.
 *
 * Two 32-bit lanes in the manner of FNV-1a (Fowler, Noll & Vo) over whole words, one for each half of a double, the second
 * fed by the first; for telling runs apart, not for security.
 */
export class EventDigest {
  #low = 0x811c9dc5;
  #high = 0x050c5d1f;
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);

  /** 16 hexadecimal digits. */
  get text(): string {
    return hex(this.#high) + hex(this.#low);
  }

  observe(event: Event): void {
    this.add(event.atMs);
    const kind = KIND_CODES[event.kind];
    // Most events are of these three: kind, outcome and sequence in one exact number.
    switch (event.kind) {
      case 'request-received':
      case 'request-admitted':
        this.add(event.request.sequence * 1024 + kind);
        return;
      case 'request-finished':
        this.add(event.request.sequence * 1024 + OUTCOME_CODES[outcomeName(event.outcome)] * 32 + kind);
        return;
      default:
        this.add(kind);
    }
    switch (event.kind) {
      case 'batch-started':
        for (const sequence of event.sequences) this.add(sequence);
        if (event.instance !== undefined) this.add(event.instance);
        this.add(event.cpuMillicores);
        this.add(event.threadCount);
        this.add(event.predictedLatencyMs);
        return;
      case 'batch-ended':
        this.add(event.batchId);
        this.add(event.latencyMs);
        return;
      case 'planned':
        this.add(event.plan.instances);
        for (const each of event.plan.allocations ?? []) this.add(each);
        this.add(event.plan.cpuMillicores);
        this.add(event.plan.batchSize);
        return;
      case 'resize-requested':
        if (event.instance !== undefined) this.add(event.instance);
        this.add(event.toMillicores);
        return;
      case 'resized':
        if (event.instance !== undefined) this.add(event.instance);
        this.add(event.cpuMillicores);
        return;
      case 'instances-requested':
        this.add(event.toInstances);
        return;
      case 'instances-changed':
        this.add(event.instances);
        return;
      case 'resize-refused':
      case 'worker-lost':
      case 'worker-ready':
        return;
      case 'router-standstill':
        this.add(event.standstillMs);
        return;
    }
  }

  /** Any number; also for digests of digests, in a fixed order. */
  add(value: number): void {
    this.#float[0] = value;
    this.#low = Math.imul(this.#low ^ this.#words[0]!, 0x01000193);
    this.#low ^= this.#low >>> 15;
    this.#high = Math.imul(this.#high ^ this.#words[1]! ^ this.#low, 0x85ebca6b);
    this.#high ^= this.#high >>> 13;
  }

  addText(text: string): void {
    for (let i = 0; i < text.length; i++) this.add(text.charCodeAt(i));
  }
}

const KIND_CODES: Readonly<Record<Event['kind'], number>> = {
  'request-received': 1,
  'request-admitted': 2,
  'request-finished': 3,
  'batch-started': 4,
  'batch-ended': 5,
  planned: 6,
  'resize-requested': 7,
  resized: 8,
  'resize-refused': 9,
  'worker-lost': 10,
  'worker-ready': 11,
  'instances-requested': 12,
  'instances-changed': 13,
  'router-standstill': 14,
};

const OUTCOME_CODES: Readonly<Record<OutcomeName, number>> = {
  completed_on_time: 1,
  completed_late: 2,
  rejected_infeasible: 3,
  rejected_overload: 4,
  expired: 5,
  cancelled: 6,
  failed: 7,
};

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
