import { describe, expect, it } from 'vitest';
import { loadCsv } from '../reports/load-csv.js';
import { joinColumns, LoadLedger, type RequestEnd } from './load-ledger.js';
import type { PlannedRequest } from './load-plan.js';
import { summariseLoad } from './load-summary.js';
import type { LoadResult } from './load.js';

function planned(index: number, sentAtMs: number, sloMs = 100): PlannedRequest {
  return {
    ...{
      index,
      client: index % 2,
      sentAtMs,
      firstByteAtMs: sentAtMs,

      sloMs,
      patienceMs: sloMs,
      upload: null,
    },
    ...{ declaredUploadMs: null, sendStampMs: null, leavesAtMs: Infinity },
  };
}

const ANSWERED: RequestEnd = {
  kind: 'answered',
  explanation: { budgetMs: 90, networkDelayMs: 10, queuedMs: 5, latencyMs: 20, batchSize: 2, cpuMillicores: 500 },
};

interface Step {
  readonly request: PlannedRequest;
  readonly end: RequestEnd;
  /** Send → told. */
  readonly afterMs: number;
}

function ledgerOf(steps: readonly Step[]): LoadLedger {
  const ledger = new LoadLedger();
  for (const { request, end, afterMs } of steps) {
    ledger.sent(request, request.sentAtMs + 1);
    const atMs = request.sentAtMs + afterMs;
    ledger.ended(request, end, atMs, end.kind === 'answered' || end.kind === 'refused' ? atMs : null);
  }
  return ledger;
}

function resultOf(ledger: LoadLedger): LoadResult {
  const generator = { threads: 1, cores: 0.1, busiestFraction: 0.1 };
  return { columns: ledger.columns(), durationMs: 2000, planned: 8, isInterrupted: false, startUnixMs: 0, generator };
}

const STEPS: readonly Step[] = [
  { request: planned(0, 0), end: ANSWERED, afterMs: 100 },
  { request: planned(1, 10), end: ANSWERED, afterMs: 100.001 },
  { request: planned(2, 20), end: { kind: 'refused', reason: 'expired' }, afterMs: 101 },
  { request: planned(3, 30), end: { kind: 'refused', reason: 'HTTP 503' }, afterMs: 1 },
  { request: planned(4, 40), end: { kind: 'refused', reason: 'expired' }, afterMs: 103 },
  { request: planned(5, 50), end: { kind: 'lost', reason: 'ECONNRESET' }, afterMs: 2 },
  { request: planned(6, 60), end: { kind: 'cancelled', reason: 'left' }, afterMs: 3 },
  { request: planned(7, 70, 200), end: ANSWERED, afterMs: 150 },
];

describe('a load, summed up', () => {
  const summary = summariseLoad(resultOf(ledgerOf(STEPS)));

  it('is judged by the client: on time to the SLO and not a microsecond later', () => {
    expect(summary.outcomes).toEqual({ 'on-time': 2, late: 1, refused: 3, lost: 1, cancelled: 1 });
    // Who left is not due: 1 − 2/7.
    expect(summary.violationRate).toBeCloseTo(5 / 7, 12);
    expect(summary).toMatchObject({ offeredPerSec: 4, answeredPerSec: 1.5, goodputPerSec: 1 });
  });

  it('names reasons, most frequent first', () => {
    expect(summary.reasons).toEqual([
      { outcome: 'refused', reason: 'expired', count: 2 },
      { outcome: 'refused', reason: 'HTTP 503', count: 1 },
      { outcome: 'lost', reason: 'ECONNRESET', count: 1 },
    ]);
  });

  it('keeps the time to an answer apart from the time to a refusal', () => {
    expect(summary.latencyMs).toMatchObject({ p50: 100.001, max: 150 });
    expect(summary.refusedAfterMs).toMatchObject({ p50: 101, max: 103 });
    expect(summary.split).toMatchObject({
      meanBatchSize: 2,
      meanCores: 0.5,
      queuedMs: { p50: 5 },
      workerMs: { p50: 20 },
    });
    expect(summary.generator.sendLateMs).toMatchObject({ p50: 1, max: 1 });
    expect(summary.generator.pacingErrorFraction).toBeNull();
  });

  it('has no violations where nothing was sent, and no split where the server says nothing', () => {
    const empty = summariseLoad(resultOf(new LoadLedger()));
    expect(empty).toMatchObject({ sent: 0, violationRate: 0, latencyMs: null, split: null });
  });
});

describe('the columns of a load', () => {
  it('of several threads are those of one', () => {
    const [even, odd] = [0, 1].map((rest) => ledgerOf(STEPS.filter((_, at) => at % 2 === rest)).columns());
    const joined = summariseLoad({ ...resultOf(new LoadLedger()), columns: joinColumns([odd!, even!]) });
    const whole = summariseLoad(resultOf(ledgerOf(STEPS)));
    expect(joined).toEqual({ ...whole, reasons: expect.arrayContaining([...whole.reasons]) as unknown });
    expect(joined.reasons).toHaveLength(whole.reasons.length);
  });

  it('are bounded in the reasons that a server may make up', () => {
    const steps = Array.from({ length: 200 }, (_, index): Step => {
      return {
        request: planned(index, index),
        end: { kind: 'refused', reason: `${index} ${'x'.repeat(500)}` },
        afterMs: 1,
      };
    });
    const { reasons } = ledgerOf(steps).columns();
    expect(reasons).toHaveLength(51);
    expect(reasons.at(-1)).toBe('other');
    expect(Math.max(...reasons.map(({ length }) => length))).toBe(100);
  });

  it('are written a line a request, by send instant, unknowns empty', () => {
    const steps = [
      STEPS[5]!,
      STEPS[0]!,
      { ...STEPS[3]!, end: { kind: 'refused', reason: 'say "no", twice' } as const },
    ];
    const lines = loadCsv(ledgerOf(steps).columns()).split('\n');
    expect(lines[0]!.split(',').slice(0, 7)).toEqual([
      ...['request', 'client', 'outcome', 'reason', 'sent_at_ms', 'slo_ms', 'latency_ms'],
    ]);
    expect(lines.slice(1)).toEqual([
      '0,0,on-time,,0,100,100,1,,,90,10,5,20,2,500',
      '3,1,refused,"say ""no"", twice",30,100,1,1,,,,,,,,',
      '5,1,lost,ECONNRESET,50,100,,1,,,,,,,,',
      '',
    ]);
  });
});
