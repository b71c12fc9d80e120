import { describe, expect, it } from 'vitest';
import type { FeasiblePlan, InfeasiblePlan } from './plan.js';
import { reasonKindText, reasonText, type PlanBound } from './plan-bound.js';

const CPU = { instances: 4, cpuMillicores: 1000, batchSize: 2 };

function bound(boundBy: PlanBound): FeasiblePlan {
  return { kind: 'feasible', ...CPU, boundBy };
}

describe('what bound a plan', () => {
  it.each<[PlanBound, string, string]>([
    [{ kind: 'idle' }, 'idle', 'idle'],
    [
      { kind: 'deadline', sequence: 17, inMs: -3.6 },
      'deadline of request 17 in -4 ms',
      'deadline of request … in … ms',
    ],
    [
      { kind: 'deadline-behind', place: 256, inMs: 84 },
      'deadline of the 257th that waits in 84 ms',
      'deadline of the …th that waits in … ms',
    ],
    [{ kind: 'arrival-rate', ratePerSec: 41.23 }, 'arrival rate 41.2/s', 'arrival rate …/s'],
    [
      { kind: 'arrival-rate', ratePerSec: 20, aheadMs: 1000 },
      'arrival rate 20.0/s, 1000 ms ahead',
      'arrival rate …/s, … ms ahead',
    ],
    [{ kind: 'cpu-use', cores: 1.5 }, 'CPU use of 1.50 cores', 'CPU use of … cores'],
    [
      { kind: 'replica-load', ratePerSec: 30, budgetMs: 90, unitMillicores: 1000 },
      '30/s within 90 ms, more than one core can do',
      '…/s within … ms, more than one core can do',
    ],
    [
      { kind: 'replica-load', ratePerSec: 30, budgetMs: 90, ready: { count: 1, of: 3 } },
      '30/s within 90 ms on 1 of 3 instances',
      '…/s within … ms on … of … instances',
    ],
  ])('%j is told, and told apart from others', (boundBy, text, kindText) => {
    expect(reasonText(bound(boundBy))).toBe(text);
    expect(reasonKindText(bound(boundBy))).toBe(kindText);
  });

  it('says why not all instances are used', () => {
    const plan = { ...bound({ kind: 'idle' }), usedAtOnce: 1, interference: 0.3 };
    expect(reasonText(plan)).toBe('idle; 1 of 4 instances, as busy neighbours slow a batch down by up to 30 %');
  });

  it('is not there where nothing suffices', () => {
    const plan: InfeasiblePlan = { kind: 'infeasible', ...CPU, reason: 'deadlines' };
    expect(reasonText(plan)).toBe('infeasible: deadlines');
  });

  it('is shown as it is called where another version wrote it', () => {
    expect(reasonText(bound({ kind: 'moon' } as never))).toBe('moon');
  });
});
