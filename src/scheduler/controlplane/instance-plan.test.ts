import { describe, expect, it } from 'vitest';
import { freeInstance, startableMillicores, withStart } from './instance-plan.js';
import type { InstanceView } from './planner.js';

const running = (requestedMillicores: number): InstanceView => ({
  requestedMillicores,
  isRunning: true,
  isAway: false,
});
const resting = (requestedMillicores: number): InstanceView => ({
  requestedMillicores,
  isRunning: false,
  isAway: false,
});

function viewOf(...instances: readonly InstanceView[]) {
  return { instances, budgetMillicores: 8000, restingMillicores: 100 };
}

describe('a plan of instances', () => {
  it('starts the free one that has most already, and of equals the first', () => {
    expect(freeInstance([running(5000), resting(100), resting(2000)])).toBe(2);
    expect(freeInstance([resting(100), resting(100)])).toBe(0);
    expect(freeInstance([running(5000), running(3000)])).toBeNull();
  });

  it('has for the one that starts what the others neither run on nor keep while they rest', () => {
    // 8000 − 3000 − 100; what the third still holds it will give up
    expect(startableMillicores(viewOf(running(3000), resting(100), resting(2000)))).toBe(4900);
    // 8000 − 2 × 100
    expect(startableMillicores(viewOf(resting(100), resting(7800), resting(100)))).toBe(7800);
    expect(startableMillicores(viewOf(resting(100)))).toBe(8000);
  });

  it('leaves those that run what they have, and the rest nothing', () => {
    const view = viewOf(running(3000), resting(2000), resting(100));
    expect(withStart(view, { instance: 2, cpuMillicores: 1500 })).toEqual({
      instances: 3,
      cpuMillicores: 1500,
      allocations: [3000, 0, 1500],
    });
    expect(withStart(view, null)).toEqual({ instances: 3, cpuMillicores: 0, allocations: [3000, 0, 0] });
  });
});
