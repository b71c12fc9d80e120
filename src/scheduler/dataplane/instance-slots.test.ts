import { describe, expect, it } from 'vitest';
import { dueAt, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import type { Plan } from '../domain/plan.js';
import type { AdmittedRequest } from '../domain/request.js';
import { InstanceSlots, threadsFor } from './instance-slots.js';
import type { QueueEntry } from './queue-entry.js';

/** 10 ms on one core. */
function member(sequence: number): QueueEntry {
  const request = dueAt(sequence, 500) as AdmittedRequest;
  return {
    request,
    sequence,
    dueAtMs: 500,
    priority: 0,
    byteCount: 1,
    admittedAtMs: 0,
    shapeClass: request.shapeClass,
    model: TEN_MS_EACH,
    onOutcome: () => undefined,
    isStaged: true,
    isSetAside: false,
    isExploring: false,
    candidate: {
      sequence,
      dueAtMs: 500,
      admittedAtMs: 0,
      classIndex: 0,
      byteCount: 1,
      mustRunAlone: false,
    },
    isRetry: false,
    wasKilled: false,
    isSuspect: false,
    state: 'queued',
  };
}

function planOf(...allocations: readonly number[]): Plan {
  const rest = { kind: 'feasible', cpuMillicores: 1000, batchSize: 1, boundBy: { kind: 'start' } } as const;
  return { ...rest, instances: allocations.length, ...(allocations.length === 0 ? {} : { allocations }) };
}

describe('instances with an allocation each', () => {
  const slotsOf = (...allocations: readonly number[]): InstanceSlots =>
    new InstanceSlots({ allocations, areInstancesApart: true, restingMillicores: 100 });

  it('start the next batch on the one that the plan gives something, where it has it', () => {
    const slots = slotsOf(100, 2000, 100);
    expect(slots.next(planOf(0, 2000, 0), { instanceCount: 3 })).toBe(1);
    // Planned, and not in force: what rests has nothing to run on.
    expect(slots.next(planOf(2000, 0, 0), { instanceCount: 3 })).toBeNull();
    // In force, and not planned
    expect(slots.next(planOf(0, 0, 0), { instanceCount: 3 })).toBeNull();
    expect(slots.next(planOf(), { instanceCount: 3 })).toBe(1);
  });

  it('start nothing while another allocation is about to be in force', () => {
    const slots = slotsOf(1000, 100);
    slots.setAwaited([true, false]);
    expect(slots.next(planOf(3000, 0), { instanceCount: 2 })).toBeNull();
    slots.setAllocation(0, 0, 3000, false);
    expect(slots.next(planOf(3000, 0), { instanceCount: 2 })).toBe(0);
    expect(slots.millicoresOf(0)).toBe(3000);
  });

  it('start nothing on one that runs, nor on more than there are', () => {
    const slots = slotsOf(1000, 1000);
    slots.start(1, 0, [member(1)], 1, 0);
    expect(slots.next(planOf(1000, 1000), { instanceCount: 2 })).toBe(1);
    expect(slots.next(planOf(1000, 1000), { instanceCount: 1 })).toBeNull();
    const second = slots.start(2, 1, [member(2)], 1, 0);
    expect(slots.next(planOf(1000, 1000), { instanceCount: 2 })).toBeNull();
    slots.end(0, second);
    expect(slots.next(planOf(1000, 1000), { instanceCount: 2 })).toBe(1);
    expect(slots.runningCount).toBe(1);
  });

  it('tell how many threads each runs, and where each batch is', () => {
    const slots = slotsOf(1000, 3000);
    slots.start(7, 1, [member(1), member(2)], 3, 0);
    slots.start(8, 0, [member(3)], 1, 0);
    expect([slots.threadsOf(0), slots.threadsOf(1)]).toEqual([1, 3]);
    // In the order of their starts; after 5 ms: 20 ms of work on three cores, 10 on one
    const [first, second] = slots.snapshot(5);
    expect(first).toMatchObject({ instance: 1, batchSize: 2, threadCount: 3 });
    expect(first!.progress).toBeCloseTo(5 / (20 / 3), 9);
    expect(second).toMatchObject({ instance: 0, batchSize: 1, threadCount: 1, progress: 0.5 });
  });

  it('speed up the batch of that instance only', () => {
    const slots = slotsOf(1000, 1000);
    slots.start(1, 0, [member(1)], 2, 0);
    slots.start(2, 1, [member(2)], 2, 0);
    slots.setAllocation(2, 1, 2000, false);
    // 2 ms on one core are 0.2 of 10; 2 more on two cores are 0.4
    const [first, second] = slots.snapshot(4);
    expect(first!.progress).toBeCloseTo(0.4, 9);
    expect(second!.progress).toBeCloseTo(0.6, 9);
  });

  it('are free at once where one is, else when the first is', () => {
    const slots = slotsOf(1000, 1000);
    const freeInMs = (nowMs: number): number => slots.freeInMs(nowMs, 2, 'predictedLatencyMs', 1000);
    slots.start(1, 0, [member(1), member(2), member(3)], 1, 0);
    expect(freeInMs(0)).toBe(0);
    slots.start(2, 1, [member(4)], 1, 0);
    // 30 and 10 ms
    expect(freeInMs(0)).toBeCloseTo(10, 9);
    expect(freeInMs(4)).toBeCloseTo(6, 9);
    // Overdue
    expect(freeInMs(15)).toBe(0);
  });
});

describe('instances that share an allocation', () => {
  const shared = (cpuMillicores: number): InstanceSlots =>
    new InstanceSlots({ allocations: [cpuMillicores], areInstancesApart: false, restingMillicores: 0 });

  it('start on any that is free, unless another allocation is about to be in force', () => {
    const slots = shared(1000);
    expect(slots.next(planOf(), { instanceCount: 3 })).toBe(0);
    slots.start(1, 0, [member(1)], 1, 0);
    expect(slots.next(planOf(), { instanceCount: 3 })).toBe(1);
    slots.start(2, 1, [member(2)], 1, 0);
    slots.setAwaited([true]);
    expect(slots.next(planOf(), { instanceCount: 3 })).toBeNull();
    slots.setAwaited([false]);
    expect(slots.next(planOf(), { instanceCount: 3 })).toBe(2);
    expect(slots.next(planOf(), { instanceCount: 2 })).toBeNull();
    expect(slots.millicoresOf(2)).toBe(1000);
  });

  it('have the threads of the largest batch, and are all resized together', () => {
    const slots = shared(1000);
    slots.start(1, 0, [member(1)], 1, 0);
    slots.start(2, 1, [member(2)], 4, 0);
    expect([slots.threadsOf(0), slots.threadsOf(1), slots.threadsOf(2)]).toEqual([4, 4, 4]);
    slots.setAllocation(0, 0, 4000, false);
    // One thread uses one core, four threads use four: 2.5 ms of 10 and of 2.5
    expect(slots.snapshot(2.5).map(({ progress }) => progress)).toEqual([0.25, 1]);
  });

  it('are free when the last one is', () => {
    const slots = shared(1000);
    slots.start(1, 0, [member(1), member(2), member(3)], 1, 0);
    slots.start(2, 1, [member(4)], 1, 0);
    expect(slots.freeInMs(4, 2, 'predictedLatencyMs', 1000)).toBeCloseTo(26, 9);
    expect(shared(1000).freeInMs(0, 2, 'predictedLatencyMs', 1000)).toBe(0);
  });
});

describe('the threads of a batch', () => {
  it('are the most within the allocation, and at least the fewest there are', () => {
    const threadCounts = [1, 2, 4];
    expect([900, 1000, 1001, 3000, 3001, 9000].map((millicores) => threadsFor(millicores, threadCounts))).toEqual([
      1, 1, 2, 2, 4, 4,
    ]);
    expect(threadsFor(500, [2, 4])).toBe(2);
    expect(threadsFor(500, [])).toBe(1);
  });
});
