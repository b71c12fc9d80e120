import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModelReport, PodReport } from '../scheduler/domain/pod-report.js';
import { Prng } from '../scheduler/random/prng.js';
import { choicesAmong, Picker } from './picker.js';
import type { Pick, RoutedRequest } from './request.js';

/** 30 ms alone, 10 ms each in full batches. @param waitMs until it is through with what it has */
function model(waitMs: number, fields: Partial<ModelReport> = {}): ModelReport {
  return {
    name: 'm',
    version: '1',
    isLatest: true,
    isReady: true,
    heldRequests: 0,
    defaultSloMs: 1000,
    requestBytes: 0,
    leastMs: 30,
    aloneMs: 30,
    instanceCount: 1,
    requestMs: 10,
    marks: [{ dueInMs: 0, startInMs: waitMs, doneInMs: waitMs, roomMs: null }],
    spareCoreSeconds: 1,
    ...fields,
  };
}

function reportOf(models: readonly ModelReport[], fields: Partial<PodReport> = {}): PodReport {
  return { schemaVersion: 1, isDraining: false, grpcPort: 8001, models, arrived: [], isArrivedCut: false, ...fields };
}

/** A pod for each wait, called a, b, …, all of which have just reported. */
function pickerOf(waitsMs: readonly number[], nowMs = 0): Picker {
  const prng = new Prng(1);
  const picker = new Picker({ random: () => prng.uniform() });
  const names = waitsMs.map((_, index) => nameOf(index));
  picker.setPods(names);
  waitsMs.forEach((waitMs, index) => picker.hear(nowMs, names[index]!, reportOf([model(waitMs)])));
  return picker;
}

function nameOf(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : `pod${index}`;
}

function request(budgetMs: number | null, fields: Partial<RoutedRequest> = {}): RoutedRequest {
  return { model: 'm', version: null, budgetMs, inputBytes: null, ...fields };
}

function podOf(pick: Pick): string {
  return pick.kind === 'send' ? pick.pod : `refused: ${pick.reason}`;
}

describe('the picker', () => {
  it('sends to the pod with the least to spare among those that have plenty', () => {
    // Of 1000 ms: 970, 920 and 570 are left.
    expect(podOf(pickerOf([0, 50, 400]).pick(0, request(1000)))).toBe('b');
    expect(pickerOf([0, 50, 400]).pick(0, request(1000))).toMatchObject({
      reason: 'least-to-spare',
      spareMs: 920,
      fallbacks: ['a', 'c'],
      number: 1,
    });
  });

  it('sends to the one with the most to spare where none has plenty', () => {
    expect(pickerOf([300, 250, 400]).pick(0, request(500))).toMatchObject({ pod: 'b', reason: 'most-to-spare' });
  });

  it('refuses what no pod can meet at this load, with the earliest finish of all', () => {
    expect(pickerOf([300, 250]).pick(0, request(100))).toEqual({
      kind: 'refuse',
      reason: 'queue_overload',
      bestCaseMs: 30,
      remainingBudgetMs: 100,
      earliestFinishMs: 280,
      retryAfterMs: 180,
    });
  });

  it('refuses for good what no pod can meet at all', () => {
    expect(pickerOf([0, 0]).pick(0, request(20))).toEqual({
      kind: 'refuse',
      reason: 'infeasible_at_max_cores',
      bestCaseMs: 30,
      remainingBudgetMs: 20,
    });
  });

  it('never refuses what states no budget', () => {
    expect(pickerOf([90_000, 80_000]).pick(0, request(null))).toMatchObject({ pod: 'b', reason: 'most-to-spare' });
  });

  it('counts what it has sent since the reports', () => {
    const picker = pickerOf([0, 0]);
    const counts = { a: 0, b: 0 };
    for (let sent = 0; sent < 20; sent++) counts[podOf(picker.pick(0, request(400))) as 'a' | 'b'] += 1;
    expect(Math.abs(counts.a - counts.b)).toBeLessThanOrEqual(2);
    // Until there is no room: 10 ms each, and the pods are full.
    let refused = 0;
    for (let sent = 0; sent < 200; sent++) refused += Number(picker.pick(0, request(400)).kind === 'refuse');
    expect(refused).toBeGreaterThan(100);
  });

  it('counts it until it has come, however old the report', () => {
    const picker = pickerOf([0]);
    const first = picker.pick(0, request(1000));
    expect(first).toMatchObject({ number: 1, spareMs: 970 });
    // On its way still: 30 ms of work that the report does not know of.
    picker.hear(10, 'a', reportOf([model(0)]));
    expect(picker.pick(10, request(1000))).toMatchObject({ number: 2, spareMs: 940 });
    picker.hear(20, 'a', reportOf([model(0)], { arrived: [1, 2] }));
    expect(picker.pick(20, request(1000))).toMatchObject({ spareMs: 970 });
    // It never came, and by now it is over.
    picker.hear(1100, 'a', reportOf([model(0)]));
    expect(picker.pick(1100, request(1000))).toMatchObject({ spareMs: 970 });
  });

  it('sends nothing to a pod that drains, or that has lost its model', () => {
    const picker = pickerOf([0, 100]);
    picker.hear(0, 'a', reportOf([model(0)], { isDraining: true }));
    expect(podOf(picker.pick(0, request(200)))).toBe('b');
    picker.hear(0, 'b', reportOf([model(100, { isReady: false })]));
    expect(podOf(picker.pick(0, request(200)))).toBe('refused: model_unavailable');
    picker.hear(0, 'b', reportOf([model(100)], { isDraining: true }));
    expect(podOf(picker.pick(0, request(200)))).toBe('refused: draining');
  });

  it('knows versions: the latest where none is asked for', () => {
    const picker = pickerOf([0, 0]);
    picker.hear(0, 'a', reportOf([model(0, { isLatest: false }), model(0, { version: '2' })]));
    for (let sent = 0; sent < 5; sent++) expect(podOf(picker.pick(0, request(900, { version: '2' })))).toBe('a');
  });

  it('has one of the pods say that there is no such model', () => {
    expect(pickerOf([0]).pick(0, request(100, { model: 'other' }))).toMatchObject({
      pod: 'a',
      reason: 'unknown-model',
    });
  });

  it('reckons with the most careful of a pod’s models where the request does not say which', () => {
    const picker = pickerOf([0, 0]);
    picker.hear(0, 'a', reportOf([model(0), model(900, { name: 'slow', aloneMs: 500 })]));
    picker.hear(0, 'b', reportOf([model(200)]));
    expect(podOf(picker.pick(0, request(500, { model: null })))).toBe('b');
  });

  it('refuses without pods, and sends blindly to pods that never reported', () => {
    const prng = new Prng(2);
    const picker = new Picker({ random: () => prng.uniform() });
    expect(podOf(picker.pick(0, request(100)))).toBe('refused: model_unavailable');
    picker.setPods(['a', 'b']);
    const counts = new Map<string, number>();
    for (let sent = 0; sent < 100; sent++) {
      const pod = podOf(picker.pick(0, request(100)));
      counts.set(pod, (counts.get(pod) ?? 0) + 1);
    }
    // By what is under way there.
    expect([...counts.keys()].sort()).toEqual(['a', 'b']);
    expect(Math.min(...counts.values())).toBeGreaterThan(40);
    picker.lose('a', 'lost');
    for (let sent = 0; sent < 10; sent++) expect(podOf(picker.pick(0, request(100)))).toBe('b');
    picker.lose('b', 'lost');
    expect(picker.pick(0, request(100)).kind).toBe('send');
  });

  it('forgets a pod that is gone, and knows one that comes back as new', () => {
    const picker = pickerOf([0, 0]);
    picker.setPods(['b']);
    expect(podOf(picker.pick(0, request(100)))).toBe('b');
    picker.setPods(['a', 'b']);
    expect(picker.pod('a')!.contact(0)).toBe('silent');
    expect(picker.pod('b')!.contact(0)).toBe('reporting');
  });
});

describe('beliefs', () => {
  it('of a pod whose reports stopped are no beliefs any more', () => {
    const picker = pickerOf([0, 50]);
    picker.hear(1500, 'b', reportOf([model(50)]));
    expect(podOf(picker.pick(1500, request(100)))).toBe('a');
    picker.hear(1700, 'b', reportOf([model(50)]));
    expect(podOf(picker.pick(1700, request(100)))).toBe('b');
    expect(picker.pod('a')!.contact(1700)).toBe('silent');
  });

  it('that refuse are tested once a second, by one in ten at most', () => {
    const picker = pickerOf([]);
    picker.setPods(['a']);
    let sent = 0;
    for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
      picker.hear(nowMs, 'a', reportOf([model(500)]));
      const pick = picker.pick(nowMs, request(100));
      if (pick.kind === 'send') {
        expect(pick.reason).toBe('test');
        sent += 1;
      }
    }
    expect(sent).toBe(9);
    // One every two seconds.
    const seldom = Array.from({ length: 22 }, (_, index) => {
      const nowMs = 20_000 + 2000 * index;
      picker.hear(nowMs, 'a', reportOf([model(500)]));
      return picker.pick(nowMs, request(100)).kind;
    });
    expect(seldom.filter((kind) => kind === 'send')).toHaveLength(2);
  });

  it('of a pod that makes no reports are tested for ever, by one in twenty and once a second', () => {
    const picker = pickerOf([0, 0]);
    picker.setPods(['a', 'b', 'mute']);
    const tests: number[] = [];
    let arrived: number[] = [];
    for (let nowMs = 0; nowMs < 20_000; nowMs += 10) {
      for (const id of ['a', 'b']) picker.hear(nowMs, id, reportOf([model(0)], { arrived }));
      const pick = picker.pick(nowMs, request(1000));
      arrived = pick.kind === 'send' ? [pick.number] : [];
      if (podOf(pick) !== 'mute') continue;
      tests.push(nowMs);
      expect(pick).toMatchObject({ reason: 'test' });
      expect(pick.kind === 'send' && [...pick.fallbacks].sort()).toEqual(['a', 'b']);
    }
    expect(tests.length).toBeGreaterThanOrEqual(15);
    expect(tests.length).toBeLessThanOrEqual(20);
  });
});

describe('many pods', () => {
  it('are all looked at up to sixteen, two of fifty and more, and ever fewer between', () => {
    expect([1, 16, 50, 1000].map(choicesAmong)).toEqual([1, 16, 2, 2]);
    for (let count = 17; count <= 50; count++) {
      expect(choicesAmong(count)).toBeLessThanOrEqual(choicesAmong(count - 1));
      expect(choicesAmong(count)).toBeGreaterThanOrEqual(2);
    }
  });

  it('are all looked at before one is refused', () => {
    // One of a hundred is free.
    const picker = pickerOf(Array.from({ length: 100 }, (_, index) => (index === 77 ? 0 : 500)));
    for (let sent = 0; sent < 3; sent++) expect(podOf(picker.pick(0, request(100)))).toBe('pod77');
  });

  it('get about as many each, though two are looked at', () => {
    const picker = pickerOf(new Array<number>(100).fill(0));
    const counts = new Map<string, number>();
    for (let sent = 0; sent < 1000; sent++) {
      const pod = podOf(picker.pick(0, request(2000)));
      counts.set(pod, (counts.get(pod) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThan(90);
    expect(Math.max(...counts.values())).toBeLessThan(60);
  });

  it('of which most have another model are drawn from those that have it', () => {
    const picker = pickerOf(new Array<number>(100).fill(0));
    for (let index = 0; index < 100; index++)
      if (index !== 3 && index !== 50) picker.hear(0, nameOf(index), reportOf([model(0, { name: 'other' })]));
    for (let sent = 0; sent < 20; sent++) expect(['d', 'pod50']).toContain(podOf(picker.pick(0, request(500))));
  });
});

describe('an oracle', () => {
  /** By the rule, in words: least of those with plenty, else most of those with hope, else none. */
  function expected(waitsMs: readonly number[], budgetMs: number): ReadonlySet<string> {
    const spare = waitsMs.map((waitMs) => budgetMs - waitMs - 30);
    const plenty = spare.filter((each) => each >= 0.9 * budgetMs);
    const best = plenty.length > 0 ? Math.min(...plenty) : Math.max(...spare);
    // Who has to wait may miss it by three quarters of a batch.
    const hope = waitsMs.map((waitMs) => budgetMs - waitMs - 30 + (waitMs > 0 ? 22.5 : 0));
    if (plenty.length === 0 && Math.max(...hope) < 0) {
      return new Set([budgetMs < 30 ? 'refused: infeasible_at_max_cores' : 'refused: queue_overload']);
    }
    const hopeless = (index: number): boolean => plenty.length === 0 && hope[index]! < 0;
    const chosen = spare.flatMap((each, index) => (each === best && !hopeless(index) ? [nameOf(index)] : []));
    return new Set(chosen.length > 0 ? chosen : hope.flatMap((each, index) => (each >= 0 ? [nameOf(index)] : [])));
  }

  it('says the same, whatever waits where', () => {
    const waits = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 16 });
    fc.assert(
      fc.property(waits, fc.integer({ min: 1, max: 600 }), (waitsMs, budgetMs) => {
        const chosen = podOf(pickerOf(waitsMs).pick(0, request(budgetMs)));
        expect(expected(waitsMs, budgetMs)).toContain(chosen);
      }),
      { numRuns: 2000 },
    );
  });
});
