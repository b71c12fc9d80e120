import { describe, expect, it } from 'vitest';
import { exactLatency } from '../domain/latency.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import { DemandRecord } from './demand-record.js';

const LATENCY = exactLatency((size, millicores) => (10_000 * size) / millicores);

function received(budgetMs: number): Event {
  return { kind: 'request-received', atMs: 0, request: { receivedAtMs: 5, dueAtMs: 5 + budgetMs } } as unknown as Event;
}

function finished(outcome: object): Event {
  return { kind: 'request-finished', atMs: 0, outcome: outcome as Outcome } as unknown as Event;
}

describe('what was asked of a model', () => {
  it('counts all that came, and of those that had a chance who was missed', () => {
    const record = new DemandRecord();
    for (const budgetMs of [100, 200, 300, 400, 500, 600, 700]) record.observe(received(budgetMs));
    for (const outcome of [
      { kind: 'completed', isLate: false },
      { kind: 'completed', isLate: true },
      { kind: 'rejected-overload' },
      { kind: 'expired' },
      { kind: 'rejected-infeasible' },
      { kind: 'cancelled' },
      { kind: 'failed' },
    ])
      record.observe(finished(outcome));
    const report = record.report(LATENCY, 8, 2, 1);
    expect(report).toMatchObject({ arrived: 7, ended: 4, missed: 3, heldRequests: 1, instances: 2 });
    expect(report.budgetsMs).toHaveLength(16);
    expect([report.budgetsMs[0], report.budgetsMs.at(-1)]).toEqual([100, 700]);
  });

  it('has latencies up to the largest batch, and no budgets before the first request', () => {
    const { latency, budgetsMs } = new DemandRecord().report(LATENCY, 5, 1, 0);
    expect(budgetsMs).toEqual([]);
    expect(latency.batchSizes).toEqual([1, 2, 3, 4, 5]);
    expect(latency.plannedMs[4]![latency.millicores.indexOf(1000)]).toBe(50);
  });
});
