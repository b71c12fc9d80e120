import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../clock/virtual-clock.js';
import { SimulatedScaler } from '../../../simulator/sim/simulated-scaler.js';
import type { ResizeResult } from '../scaler.js';
import { Envelope, type EnvelopeNews } from './envelope.js';
import { EnvelopedScaler } from './enveloped-scaler.js';

const LIMITS = { minMillicores: 100, maxMillicores: 3700, stepMillicores: 100 };

function world({ delayMs = 50, holdMs = 0, hasInner = false, limitMillicores = 500, models = 1 }) {
  const clock = new VirtualClock();
  const asked: number[] = [];
  const news: EnvelopeNews['kind'][] = [];
  let isCarriedOut = true;
  const envelope: Envelope = new Envelope({
    clock,
    rules: {
      leastMillicores: 0,
      mostMillicores: 4000,
      stepMillicores: 100,
      reserveMillicores: 250,
      holdMs,
      rate: { perSec: 1, burst: 10 },
    },
    limitMillicores,
    port: {
      resize: (limit) => {
        asked.push(limit);
        if (!isCarriedOut) return;
        clock.schedule(clock.nowMs() + delayMs, () => {
          envelope.noteAccepted();
          envelope.noteInForce(limit);
        });
      },
    },
    onNews: ({ kind }) => news.push(kind),
  });
  const groups: number[][] = [];
  const scalers = Array.from({ length: models }, (_, index) => {
    groups[index] = [];
    const inner = new SimulatedScaler({
      clock,
      limits: LIMITS,
      cpuMillicores: 100,
      delayMs: () => 0.1,
      expectedDelayMs: 0.1,
      isRefused: () => false,
      apply: (millicores) => groups[index]!.push(millicores),
    });
    return new EnvelopedScaler({
      envelope,
      limits: LIMITS,
      inner: hasInner ? inner : null,
      kind: 'kubernetes',
      readCounters: () => null,
    });
  });
  const answers: (ResizeResult & { atMs: number })[] = [];
  const resize = (cpuMillicores: number, of = 0): void => {
    let isInside = true;
    scalers[of]!.resize(cpuMillicores, (result) => {
      expect(isInside, 'answered inside the call').toBe(false);
      answers.push({ ...result, atMs: clock.nowMs() });
    });
    isInside = false;
  };
  const runTo = (atMs: number): void => clock.advanceTo(atMs);
  const carryOut = (is: boolean): void => void (isCarriedOut = is);
  return { clock, envelope, scalers, asked, news, groups, answers, resize, runTo, carryOut };
}

describe('an allocation that is the whole envelope', () => {
  it('is answered when the limit is in force, with what there is', () => {
    const { resize, runTo, answers, asked, news } = world({});
    resize(1000);
    runTo(49);
    expect(answers).toEqual([]);
    runTo(60);
    // 1000 + 250 → 1300, of which the router has 250.
    expect(asked).toEqual([1300]);
    expect(answers).toEqual([{ kind: 'applied', cpuMillicores: 1050, isWritten: false, tookMs: 50, atMs: 50 }]);
    expect(news).toEqual(['asked', 'in-force']);
  });

  it('answers each call once, the superseded ones too', () => {
    const { resize, runTo, answers, asked } = world({});
    resize(1000);
    runTo(10);
    resize(2000);
    runTo(200);
    expect(answers.map(({ atMs }) => atMs)).toEqual([10, 60]);
    expect(answers[1]).toMatchObject({ cpuMillicores: 2050 });
    expect(asked).toEqual([1300, 2300]);
  });

  it('is answered with what there is when the node has no room, and told when it has', () => {
    const { resize, runTo, answers, envelope, carryOut, scalers } = world({});
    let changes = 0;
    scalers[0]!.watch(() => changes++);
    carryOut(false);
    resize(2000);
    runTo(100);
    expect(answers).toEqual([]);
    envelope.noteDeferred('no room');
    runTo(101);
    expect(answers).toMatchObject([{ kind: 'applied', cpuMillicores: 250 }]);
    expect([scalers[0]!.reachableMillicores, changes]).toEqual([250, 1]);
    envelope.noteInForce(2300);
    expect([scalers[0]!.reachableMillicores, changes]).toEqual([3750, 2]);
    resize(2000);
    runTo(110);
    expect(answers.at(-1)).toMatchObject({ cpuMillicores: 2050, tookMs: 0 });
  });

  it('of several models follows their sum', () => {
    const { resize, runTo, answers, asked } = world({ models: 2 });
    resize(1000, 0);
    resize(500, 1);
    runTo(200);
    expect(asked).toEqual([1300, 1800]);
    expect(answers.map((answer) => answer.kind === 'applied' && answer.cpuMillicores)).toEqual([1000, 500]);
  });
});

describe('an allocation with a group inside the envelope', () => {
  it('within it is resized at once, and nothing is asked of anybody', () => {
    const { resize, runTo, answers, groups, asked } = world({ hasInner: true, limitMillicores: 2000, holdMs: 10_000 });
    resize(1500);
    runTo(1);
    expect(answers).toMatchObject([{ kind: 'applied', cpuMillicores: 1500, atMs: 0.1 }]);
    expect([groups[0], asked]).toEqual([[1500], []]);
  });

  it('beyond it has what there is at once, and the rest when there is', () => {
    const { resize, runTo, answers, groups } = world({ hasInner: true });
    resize(1500);
    runTo(10);
    // 500 − 250 → 200 in whole steps.
    expect([groups[0], answers]).toEqual([[200], []]);
    runTo(100);
    expect(groups[0]).toEqual([200, 1500]);
    expect(answers).toMatchObject([{ kind: 'applied', cpuMillicores: 1500, isWritten: true }]);
    expect(answers[0]!.atMs).toBeCloseTo(50.1);
  });

  it('is not waited for longer than a batch can wait', () => {
    const { resize, runTo, answers, groups, scalers } = world({ hasInner: true, delayMs: 1000 });
    let changes = 0;
    scalers[0]!.watch(() => changes++);
    resize(1500);
    runTo(500);
    expect(answers).toMatchObject([{ kind: 'applied', cpuMillicores: 200 }]);
    expect(answers[0]!.atMs).toBeCloseTo(150.1);
    runTo(1100);
    expect(groups[0]).toEqual([200, 1500]);
    expect(changes).toBeGreaterThan(0);
    resize(1500);
    runTo(1200);
    expect(answers.at(-1)).toMatchObject({ cpuMillicores: 1500 });
  });

  it('gives up nothing of the envelope while it may be wanted again', () => {
    const { resize, runTo, asked } = world({ hasInner: true, holdMs: 10_000 });
    resize(1500);
    runTo(100);
    resize(100);
    runTo(9000);
    resize(1500);
    runTo(9100);
    resize(100);
    runTo(19_000);
    expect(asked).toEqual([1800]);
    runTo(30_000);
    expect(asked).toEqual([1800, 400]);
  });
});
