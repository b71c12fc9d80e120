import { describe, expect, it } from 'vitest';
import { plannerView, SHARED_WORK } from '../../../../test/fixtures/planner-views.js';
import type { InstanceView, PlannerView } from '../planner.js';
import { oneCorePool } from './one-core-pool.js';

const RESTING: InstanceView = { requestedMillicores: 100, isRunning: false, isAway: false };
const RUNNING: InstanceView = { requestedMillicores: 1000, isRunning: true, isAway: false };

/** One request alone takes 100 ms on one core and 50 on two. */
function view(dueAtMs: readonly number[], instances: readonly InstanceView[], budgetMillicores = 16_000): PlannerView {
  return plannerView({
    models: [SHARED_WORK],
    instances,
    budgetMillicores,
    snapshot: {
      work: dueAtMs.map((due) => ({ dueAtMs: due, classIndex: 0 })),
      running: instances.flatMap(({ isRunning }, instance) =>
        isRunning
          ? [
              {
                instance,
                batchSize: 1,
                threadCount: 1,
                progress: 0.5,
                shapeClass: { key: 'x', elementCount: 1 } as never,
              },
            ]
          : [],
      ),
    },
    runningModels: instances.filter(({ isRunning }) => isRunning).map(() => SHARED_WORK),
  });
}

describe('a pool of one-core instances', () => {
  const plain = oneCorePool(false);
  const tight = oneCorePool(true);

  it('starts one request on one core wherever one is free, and rests otherwise', () => {
    const { plan } = plain.plan(view([500, 600, 700], [RUNNING, RESTING, RESTING]));
    expect(plan).toMatchObject({ allocations: [1000, 1000, 0], batchSize: 1, cpuMillicores: 1000 });
    expect(plain.plan(view([], [RESTING, RESTING])).plan).toMatchObject({ allocations: [0, 0], cpuMillicores: 0 });
  });

  it('keeps one core for a request that one core is too slow for, unless it was asked to mind tight heads', () => {
    // 70 ms are enough for the 50 that it takes on two cores.
    expect(plain.plan(view([70], [RESTING])).plan.cpuMillicores).toBe(1000);
    expect(tight.plan(view([70], [RESTING])).plan.cpuMillicores).toBe(2000);
    expect(tight.plan(view([500], [RESTING])).plan.cpuMillicores).toBe(1000);
  });

  it('passes over whom no allocation can save', () => {
    // On all 16 cores it takes 100 / 16 = 6.25 ms.
    const { plan, unsalvageable } = tight.plan(view([5, 70], [RESTING]));
    expect(unsalvageable).toEqual([0]);
    expect(plan.cpuMillicores).toBe(2000);
  });

  it('says what it waits for where others have the cores, and takes what is there for a tight head', () => {
    // Of 1500 the one that runs has 1000, and 500 are less than a core.
    const short = plain.plan(view([500], [RUNNING, RESTING], 1500));
    expect(short).toMatchObject({ plan: { cpuMillicores: 0 }, wantedMillicores: 1000, wakeAtMs: 20 });
    // Of 3000 there are 2000, and a request that is due in 30 ms would need 4000.
    expect(tight.plan(view([30], [RUNNING, RESTING], 3000)).plan.cpuMillicores).toBe(2000);
  });

  it('asks for nothing while all run, and looks again who can still be met', () => {
    const { plan, wantedMillicores, wakeAtMs } = plain.plan(view([500], [RUNNING, RUNNING]));
    expect([plan.allocations, wantedMillicores, wakeAtMs]).toEqual([[1000, 1000], undefined, 20]);
  });
});
