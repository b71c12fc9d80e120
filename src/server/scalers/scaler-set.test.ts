import { describe, expect, it } from 'vitest';
import type { CpuCounters, ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { ScalerHandle } from './scaler-handle.js';
import { ScalerSet } from './scaler-set.js';

/** One group; answers when the test says so. */
class FakeGroup implements ScalerHandle {
  cpuMillicores = 250;
  counters: CpuCounters | null = { usedSeconds: 0, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
  refusal: string | null = null;
  isClosed = false;
  readonly join = { kind: 'none' } as const;
  readonly rejoin = () => this.join;
  readonly description = '';
  readonly scaler: Scaler = {
    kind: 'cgroup-v2',
    isActuating: true,
    limits: { minMillicores: 100, maxMillicores: 1700, stepMillicores: 100 },
    idleMillicores: 100,
    expectedDelayMs: 1,
    resize: (cpuMillicores, onApplied) => this.#answers.push(() => onApplied(this.#apply(cpuMillicores))),
    readCounters: () => this.counters,
  };
  readonly #answers: (() => void)[] = [];

  /** Gives every answer that is owed. */
  answer(): void {
    for (const give of this.#answers.splice(0)) give();
  }

  used(usedSeconds: number, throttledPeriods = 0): void {
    this.counters = { usedSeconds, periods: 10, throttledPeriods, throttledSeconds: 0 };
  }

  attachProcess(): void {}

  close(): Promise<void> {
    this.isClosed = true;
    this.counters = null;
    return Promise.resolve();
  }

  #apply(cpuMillicores: number): ResizeResult {
    if (this.refusal !== null) return { kind: 'refused', message: this.refusal };
    const isWritten = cpuMillicores !== this.cpuMillicores;
    this.cpuMillicores = cpuMillicores;
    return { kind: 'applied', cpuMillicores, isWritten, tookMs: isWritten ? 0.2 : 0.1 };
  }
}

function setUp() {
  const [first, second] = [new FakeGroup(), new FakeGroup()];
  const warnings: string[] = [];
  const set = new ScalerSet(first.scaler, 250, (line) => warnings.push(line));
  const results: ResizeResult[] = [];
  const resize = (cpuMillicores: number): void => set.scaler.resize(cpuMillicores, (result) => results.push(result));
  return { first, second, set, warnings, results, resize };
}

describe('a set of scalers', () => {
  it('resizes all that have joined, and answers once, when all have answered', () => {
    const { first, second, set, results, resize } = setUp();
    set.add(second).join();
    second.answer();
    resize(100);
    first.answer();
    expect(results).toEqual([]);
    second.answer();
    expect(results).toEqual([{ kind: 'applied', cpuMillicores: 100, isWritten: true, tookMs: 0.2 }]);
  });

  it('leaves an instance that starts alone, and gives it what the others have when it joins', () => {
    const { first, second, set, resize } = setUp();
    const member = set.add(second);
    resize(100);
    first.answer();
    second.answer();
    expect([first.cpuMillicores, second.cpuMillicores]).toEqual([100, 250]);
    member.join();
    second.answer();
    expect(second.cpuMillicores).toBe(100);
  });

  it('answers what the others have where one refuses, and warns of that one once', () => {
    const { first, second, set, results, warnings, resize } = setUp();
    second.refusal = 'read-only';
    set.add(second).join();
    second.answer();
    expect(warnings).toEqual(['an instance keeps the allocation it has: read-only']);
    for (const answerInOrder of [
      [first, second],
      [second, first],
    ]) {
      resize(answerInOrder[0] === first ? 100 : 200);
      for (const group of answerInOrder) group.answer();
    }
    expect(results).toEqual([
      { kind: 'applied', cpuMillicores: 100, isWritten: true, tookMs: 0.2 },
      { kind: 'applied', cpuMillicores: 200, isWritten: true, tookMs: 0.2 },
    ]);
    expect(warnings).toHaveLength(1);
    // It has taken one in between.
    second.refusal = null;
    resize(300);
    second.answer();
    second.refusal = 'gone';
    resize(400);
    second.answer();
    expect(warnings).toHaveLength(2);
  });

  it('refuses where all refuse', () => {
    const { first, second, set, results, resize } = setUp();
    set.add(second).join();
    second.answer();
    first.refusal = second.refusal = 'read-only';
    resize(100);
    first.answer();
    second.answer();
    expect(results).toEqual([{ kind: 'refused', message: 'read-only' }]);
  });

  it('adds up the counters of all groups, of those that are gone too', async () => {
    const { first, second, set } = setUp();
    const member = set.add(second);
    first.used(4, 2);
    second.used(1.5, 1);
    expect(set.scaler.readCounters()).toEqual({
      usedSeconds: 5.5,
      periods: 20,
      throttledPeriods: 3,
      throttledSeconds: 0,
    });
    second.used(2);
    await member.leave();
    expect(second.isClosed).toBe(true);
    expect(set.scaler.readCounters()?.usedSeconds).toBe(6);
    first.used(5);
    expect(set.scaler.readCounters()?.usedSeconds).toBe(7);
  });

  it('counts a group that cannot be read as it did last', () => {
    const { first, set } = setUp();
    first.used(4);
    set.scaler.readCounters();
    first.counters = null;
    expect(set.scaler.readCounters()?.usedSeconds).toBe(4);
  });
});
