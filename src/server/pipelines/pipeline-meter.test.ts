import { describe, expect, it } from 'vitest';
import type { Event } from '../../scheduler/domain/event.js';
import type { ServiceRecord } from '../../scheduler/domain/outcome.js';
import { PipelineMeter } from './pipeline-meter.js';

const SERVICE: ServiceRecord = {
  ...{ queuedMs: 2, slackAtDispatchMs: 0, batchId: 1, batchSize: 4, cpuMillicores: 2000, threadCount: 2 },
  ...{ plannedLatencyMs: 10, latencyMs: 10 },
};
const done = (service: ServiceRecord | null) => ({ kind: 'done', outputs: new Map(), service }) as const;
const expired = { kind: 'expired', reason: 'expired', lateByMs: 1 } as const;

const finished = (sequence: number, outcome: object): Event =>
  ({ kind: 'request-finished', atMs: 0, request: { sequence }, outcome }) as unknown as Event;

const of = (meter: PipelineMeter, name: string) => meter.counts.find((step) => step.name === name)!.counts;

describe('the steps of a pipeline', () => {
  it('have parts that wait, run and are done, and the time and cores of each', () => {
    const meter = new PipelineMeter(['cut', 'read']);
    const call = meter.begin(1, 0, 0, 0);
    expect(of(meter, 'cut')).toMatchObject({ waiting: 1, running: 0 });
    meter.run(0, call, 3);
    meter.run(0, call, 3);
    expect(of(meter, 'cut')).toMatchObject({ waiting: 0, running: 1 });
    meter.end(1, 0, call, 8, done(null));
    // A function's 5 ms are one core's.
    expect(of(meter, 'cut')).toMatchObject({ done: 1, waitedMs: 3, ranMs: 5, coreMs: 5, running: 0 });
    const part = meter.begin(1, 1, 0, 8);
    meter.end(1, 1, part, 20, done(SERVICE));
    // 10 ms on 2 cores, of which a batch of 4 gives each a quarter.
    expect(of(meter, 'read')).toMatchObject({ done: 1, waiting: 0, waitedMs: 2, ranMs: 10, coreMs: 5 });
  });

  it('have requests with parts, for as long as any of these is there', () => {
    const meter = new PipelineMeter(['cut', 'read']);
    const parts = [0, 1, 2].map((part) => meter.begin(1, 1, part, 10));
    meter.end(1, 1, parts[0]!, 15, done(SERVICE));
    expect(of(meter, 'read')).toMatchObject({ requests: 0, parts: 0, spanMs: 0 });
    meter.end(1, 1, parts[1]!, 22, done(SERVICE));
    meter.end(1, 1, parts[2]!, 30, done(SERVICE));
    // From 10 to 30, whoever of the three was there.
    expect(of(meter, 'read')).toMatchObject({ requests: 1, parts: 3, spanMs: 20, done: 3 });
    // Refused, and asked again with more time: the same part of the same request.
    const refused = meter.begin(2, 1, 0, 40);
    meter.end(2, 1, refused, 41, { kind: 'refused', outcome: expired });
    meter.end(2, 1, meter.begin(2, 1, 0, 41), 45, done(SERVICE));
    expect(of(meter, 'read')).toMatchObject({ requests: 2, parts: 4, spanMs: 25, done: 4, lost: 1 });
    expect(meter.pipelineCounts.steps.map(({ requests }) => requests)).toEqual([0, 2]);
  });

  it('are where requests are lost', () => {
    const meter = new PipelineMeter(['cut', 'read']);
    // Nobody saw it.
    meter.observe(finished(1, { kind: 'rejected-overload', reason: 'queue_full' }));
    // Its part was refused.
    meter.end(2, 0, meter.begin(2, 0, 0, 0), 5, { kind: 'refused', outcome: expired });
    meter.observe(finished(2, expired));
    // The first step was done, and the second could not be in time.
    meter.end(3, 0, meter.begin(3, 0, 0, 0), 5, done(null));
    meter.observe(finished(3, { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores' }));
    // It waited, and its client left.
    meter.end(4, 1, meter.begin(4, 1, 0, 0), 5, null);
    meter.observe(finished(4, { kind: 'cancelled', reason: 'cancelled' }));
    // Nothing is lost of one that was answered.
    meter.end(5, 1, meter.begin(5, 1, 0, 0), 5, done(SERVICE));
    meter.observe(finished(5, { kind: 'completed' }));
    expect(of(meter, '(door)').dropped).toEqual({ queue_full: 1 });
    expect(of(meter, 'cut').dropped).toEqual({ expired: 1 });
    expect(of(meter, 'read').dropped).toEqual({ infeasible_at_max_cores: 1, cancelled: 1 });
    expect([of(meter, 'cut').lost, of(meter, 'read').lost]).toEqual([1, 1]);
  });
});
