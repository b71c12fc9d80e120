import { expect, it } from 'vitest';
import type { FeasiblePlan } from '../../scheduler/domain/plan.js';
import { FewerInstancesNotice } from './fewer-instances-notice.js';

it('says once that fewer instances are used, and nothing while all are', () => {
  const lines: string[] = [];
  const notice = new FewerInstancesNotice((line) => lines.push(line));
  const plan: FeasiblePlan = {
    kind: 'feasible',
    instances: 4,
    cpuMillicores: 0,
    batchSize: 1,
    boundBy: { kind: 'start' },
  };
  const planned = (change: Partial<FeasiblePlan>): void =>
    notice.observe({ kind: 'planned', atMs: 0, plan: { ...plan, ...change }, trigger: 'tick' });
  planned({});
  expect(lines).toEqual([]);
  planned({ usedAtOnce: 1, interference: 0.4 });
  planned({ usedAtOnce: 2 });
  expect(lines).toEqual([
    '1 of 4 instances are used at once from now on, while that is so: start; 1 of 4 instances, as busy neighbours slow a batch down by up to 40 %',
  ]);
});
