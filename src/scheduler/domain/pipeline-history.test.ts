import { describe, expect, it } from 'vitest';
import { aPipeline, counts, noCounts } from '../../../test/fixtures/pipeline-run.js';
import { stepsCounted } from './event-record.js';
import { PipelineHistory } from './pipeline-history.js';

const history = (capacity = 10): PipelineHistory => new PipelineHistory(aPipeline(['cut', 'read']), capacity);

describe('what was counted at the steps of a pipeline', () => {
  it('is of a range the difference between its ends, as shares of all steps', () => {
    const run = history();
    run.apply(
      stepsCounted(1000, { door: { queue_full: 5 }, steps: [counts({ requests: 1, spanMs: 100 }), noCounts()] }),
    );
    run.apply(
      stepsCounted(3000, {
        door: { queue_full: 7 },
        steps: [
          // 2 requests more, of a part each, 10 ms each of which 4 were waited, on one core.
          counts({ requests: 3, parts: 2, done: 2, spanMs: 120, waitedMs: 8, ranMs: 12, coreMs: 12 }),
          // 2 requests of 6 parts, there for 60 ms; one part was lost.
          counts({
            waiting: 4,
            running: 2,
            requests: 2,
            parts: 6,
            done: 5,
            lost: 1,
            spanMs: 60,
            waitedMs: 30,
            ranMs: 60,
            coreMs: 36,
          }),
        ],
      }),
    );
    const { steps, drops, millicores, dropped } = run.summary(1000, 3000);
    expect(drops).toEqual([{ reason: 'queue_full', requests: 2 }]);
    expect(dropped).toBe(2);
    // 48 core-ms in 2000 ms.
    expect(millicores).toBe(24);
    expect(steps[0]).toMatchObject({ name: 'cut', donePerSec: 1, partsPerRequest: 1, spanMs: 10, timeFraction: 0.25 });
    expect(steps[0]).toMatchObject({ waitFraction: 0.4, waitMs: 4, workMs: 6, millicores: 6, coresFraction: 0.25 });
    expect(steps[1]).toMatchObject({ waiting: 4, running: 2, partsPerRequest: 3, spanMs: 30, timeFraction: 0.75 });
    expect(steps[1]).toMatchObject({ donePerSec: 2.5, waitMs: 5, workMs: 10, coresFraction: 0.75 });
  });

  it('begins with what its header says, and stands still where nothing is told', () => {
    const run = new PipelineHistory(aPipeline(['cut'], [counts({ done: 40, coreMs: 400 })]), 10);
    expect(run.summary(0, 1000).steps[0]).toMatchObject({ donePerSec: 0, partsPerRequest: null, waitMs: null });
    run.apply(stepsCounted(500, { door: {}, steps: [counts({ done: 43, coreMs: 430 })] }));
    expect(run.summary(0, 1000).steps[0]!.donePerSec).toBe(3);
    expect(run.summary(500, 1000).steps[0]!.donePerSec).toBe(0);
    // Just before it was told.
    expect(run.summary(0, 499).steps[0]!.donePerSec).toBe(0);
  });

  it('says of what was lost why, the most frequent reason first', () => {
    const run = history();
    const dropped = { expired: 1, queue_overload: 3, cancelled: 0 };
    run.apply(stepsCounted(10, { door: {}, steps: [noCounts(), counts({ dropped })] }));
    expect(run.summary(0, 20).steps[1]!.drops).toEqual([
      { reason: 'queue_overload', requests: 3 },
      { reason: 'expired', requests: 1 },
    ]);
  });

  it('forgets the oldest, and then knows nothing of before', () => {
    const run = history(10);
    for (let at = 1; at <= 100; at++) {
      run.apply(stepsCounted(1000 * at, { door: {}, steps: [counts({ done: at }), noCounts()] }));
    }
    expect(run.summary(95_000, 100_000).steps[0]!.donePerSec).toBe(1);
    // At least ten are kept: of a longer range it counts those alone.
    const kept = run.summary(0, 100_000).steps[0]!.donePerSec * 100;
    expect(kept).toBeGreaterThanOrEqual(9);
    expect(kept).toBeLessThanOrEqual(20);
  });

  it('is not that of another pipeline', () => {
    expect(() => history().apply(stepsCounted(1, { door: {}, steps: [noCounts()] }))).toThrow(
      'it counts 1 steps of a pipeline that has 2',
    );
  });
});
