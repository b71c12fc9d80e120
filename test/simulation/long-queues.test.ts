import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/scheduler/domain/outcome.js';
import { shapeClass, type InferRequest } from '../../src/scheduler/domain/request.js';
import type { System } from '../../src/scheduler/system.js';
import type { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { exactSystem } from '../fixtures/exact-system.js';
import { jointSystem } from '../fixtures/joint-system.js';
import { dueAt, TEN_MS_EACH } from './fixed-latency.js';

/*
 * Queues that are many times longer than the window that a plan looks at, on four cores: 10 ms of one for each request, so that 400 are
 * served a second, whatever the batches and the allocations.
 */

const MAX_BATCH_SIZE = 4;

interface Answer {
  readonly sequence: number;
  readonly atMs: number;
  readonly outcome: Outcome;
}

/** Submits and keeps the answers. */
class Clients {
  readonly answers: Answer[] = [];
  readonly #clock: VirtualClock;
  readonly #system: System;
  #sent = 0;

  constructor({ clock, system }: { readonly clock: VirtualClock; readonly system: System }) {
    this.#clock = clock;
    this.#system = system;
  }

  send(count: number, dueAtMs: (index: number) => number, fields: Partial<InferRequest> = {}): void {
    for (let index = 0; index < count; index++) {
      const sequence = ++this.#sent;
      const request = { ...dueAt(sequence, dueAtMs(index), fields), receivedAtMs: this.#clock.nowMs() };
      this.#system.submit(request, (outcome) => this.answers.push({ sequence, atMs: this.#clock.nowMs(), outcome }));
    }
  }

  /** Everyone has exactly one answer. */
  end(): void {
    this.#clock.advanceBy(100_000);
    expect(this.#system.status().heldRequests).toBe(0);
    expect(new Set(this.answers.map(({ sequence }) => sequence)).size).toBe(this.#sent);
    expect(this.answers).toHaveLength(this.#sent);
    this.#system.stop();
  }

  get onTime(): number {
    return this.answers.filter(({ outcome }) => outcome.kind === 'completed' && !outcome.isLate).length;
  }

  refused(byMs: number): readonly Answer[] {
    return this.answers.filter(({ atMs, outcome }) => atMs <= byMs && outcome.kind === 'rejected-overload');
  }
}

const SYSTEMS = {
  'one instance': () => exactSystem(TEN_MS_EACH, MAX_BATCH_SIZE, 0),
  'four instances': () =>
    jointSystem({ model: TEN_MS_EACH, instances: 4, maxMillicores: 4000, maxBatchSize: MAX_BATCH_SIZE }),
} as const;

describe.each(Object.keys(SYSTEMS) as (keyof typeof SYSTEMS)[])('a queue beyond the window, %s', (name) => {
  it('serves all 2,000 that can just be served, however far behind the window they are due', () => {
    const clients = new Clients(SYSTEMS[name]());
    // Everyone is due in 5.5 s, which is a tenth more than 2,000 · 2.5 ms.
    clients.send(2000, () => 5500);
    clients.end();
    expect(clients.onTime).toBe(2000);
  });

  it('tells those at once for whom there is no room, the newest, and serves the others', () => {
    const clients = new Clients(SYSTEMS[name]());
    clients.send(4000, () => 5000);
    // 2,000 are served by then; a batch for each instance, and the spacing of the marks, may be kept too many.
    const atOnce = clients.refused(0);
    expect(atOnce.length).toBeGreaterThanOrEqual(1900);
    expect(atOnce.length).toBeLessThanOrEqual(2000);
    // The one that runs first was told nothing, nor were those that came before there was one too many.
    expect(Math.min(...atOnce.map(({ sequence }) => sequence))).toBeGreaterThan(1900);
    clients.end();
    expect(clients.onTime).toBeGreaterThanOrEqual(1950);
  });

  it('lets those who may be late wait behind the others', () => {
    const clients = new Clients(SYSTEMS[name]());
    clients.send(1000, () => 2500, { isBestEffort: true });
    clients.send(1000, () => 2600);
    clients.end();
    const kinds = new Set(
      clients.answers.filter(({ sequence }) => sequence <= 1000).map(({ outcome }) => outcome.kind),
    );
    expect([...kinds]).toEqual(['completed']);
  });

  it('goes on where a whole window is beyond saving', () => {
    const clients = new Clients(SYSTEMS[name]());
    // The first batch holds all up, for as long as none is free; then 600 are overdue but in the queue's order first.
    clients.send(4, () => 1000);
    clients.send(600, () => 3, { isDeadlineDefaulted: true });
    clients.send(300, () => 5000);
    clients.end();
    expect(clients.answers.filter(({ outcome }) => outcome.kind === 'completed')).toHaveLength(904);
    expect(clients.onTime).toBeGreaterThanOrEqual(304);
  });

  it('keeps shape classes apart', () => {
    const clients = new Clients(SYSTEMS[name]());
    for (let index = 0; index < 1500; index++)
      clients.send(1, () => 6000 + index, { shapeClass: shapeClass(`class ${index % 12}`, 1) });
    clients.end();
    expect(clients.onTime).toBeGreaterThanOrEqual(1490);
  });
});
