import { describe, expect, it } from 'vitest';
import { CoreBudget, type BudgetMember } from '../../scheduler/controlplane/core-budget.js';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import { SpareCores } from './spare-cores.js';

/** What is asked of it is in force at once. */
function group(): { readonly scaler: Scaler; readonly asked: number[] } {
  const asked: number[] = [];
  const scaler: Scaler = {
    kind: 'cgroup-v2',
    isActuating: true,
    limits: { minMillicores: 100, maxMillicores: 4000, stepMillicores: 100 },
    idleMillicores: 0,
    expectedDelayMs: 1,
    resize: (cpuMillicores, onApplied) => {
      asked.push(cpuMillicores);
      onApplied({ kind: 'applied', cpuMillicores, isWritten: true, tookMs: 0 });
    },
    readCounters: () => null,
  };
  return { scaler, asked };
}

/** A model with one allocation. */
function model(heldMillicores: number): BudgetMember & { heldMillicores: number } {
  const member = {
    heldMillicores,
    get holders() {
      return [member];
    },
    claim: { neededMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity },
    nextFreeAtMs: Infinity,
    lastBusyAtMs: 0,
    restingMillicores: 0,
    startingMillicores: 0,
    release: () => undefined,
    retry: () => undefined,
  };
  return member;
}

describe('the cores that a spare is loaded on', () => {
  it('are what others leave, a core at most, and are given back when somebody lacks them', () => {
    const budget = new CoreBudget(4000);
    const served = model(3350);
    budget.join(served);
    const { scaler, asked } = group();
    const cores = new SpareCores(budget, scaler);
    // 650, in steps of 100.
    expect(asked).toEqual([600]);
    served.heldMillicores = 0;
    cores.retry();
    expect(asked).toEqual([600, 1000]);
    budget.reclaim(served);
    expect(asked).toEqual([600, 1000, 0]);
    expect(budget.roomFor(served)).toBe(4000);
    // All are in use: it is left with the least quota.
    served.heldMillicores = 4000;
    cores.retry();
    expect(asked).toEqual([600, 1000, 0]);
    cores.leave();
    budget.assertKept();
  });

  it('change nothing in what others may plan with', () => {
    const budget = new CoreBudget(4000);
    const [one, other] = [model(0), model(0)];
    for (const member of [one, other]) budget.join(member);
    const before = [budget.shareOf(one, 0), budget.reachOf(one, 0), budget.isWantedBeside(one)];
    const cores = new SpareCores(budget, group().scaler);
    expect([budget.shareOf(one, 0), budget.reachOf(one, 0), budget.isWantedBeside(one)]).toEqual(before);
    cores.leave();
  });
});
