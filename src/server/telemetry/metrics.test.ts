import { describe, expect, it } from 'vitest';
import {
  aRequest,
  batchEnded,
  batchStarted,
  completed,
  finished,
  infeasible,
  overloaded,
  received,
} from '../../../test/fixtures/events.js';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { CpuCounters } from '../../scheduler/controlplane/scaler.js';
import { REASONS, type Outcome } from '../../scheduler/domain/outcome.js';
import { Telemetry } from './metrics.js';
import type { ModelSource } from './model-meter.js';

function setUp(allocation: Pick<ModelSource, 'millicores' | 'startingMillicores'> = { millicores: [1000] }) {
  const clock = new VirtualClock();
  const telemetry = new Telemetry({ clock, readRouterCpuSeconds: () => 12.5, readUnixMs: () => 1_700_000_000_000.9 });
  const worker = { usedSeconds: 0, reads: 0, queueDepth: 0, hasCounters: true, restarting: -1, hasSpare: false };
  const readCounters = (): CpuCounters | null => {
    worker.reads += 1;
    return worker.hasCounters
      ? { usedSeconds: worker.usedSeconds, periods: 50, throttledPeriods: 5, throttledSeconds: 0.25 }
      : null;
  };
  const source: ModelSource = {
    model: 'ocr',
    version: '1',
    limitMillicores: 4000,
    ...allocation,
    readCounters,
    isReady: (instance) => instance !== worker.restarting,
    isSpareReady: () => worker.hasSpare,
    queueDepth: () => worker.queueDepth,
  };
  const attached = telemetry.attachModel(source);
  return { clock, telemetry, worker, source, ...attached };
}

/** Samples by series, labels in the order they are exposed: `name{a="b"}` → value. */
function scrape(telemetry: Telemetry): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of telemetry.render().split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const split = line.lastIndexOf(' ');
    samples.set(line.slice(0, split), Number(line.slice(split + 1)));
  }
  return samples;
}

const MODEL = 'model="ocr",version="1"';

describe('Telemetry', () => {
  it('counts each outcome once under its reason, and misses without what was cancelled in time', () => {
    const { telemetry, observe } = setUp();
    const outcomes: Outcome[] = [
      completed(),
      completed(),
      completed(true),
      overloaded(),
      infeasible(),
      { kind: 'expired', reason: 'expired', lateByMs: 1 },
      { kind: 'cancelled', reason: 'cancelled' },
      { kind: 'failed', reason: 'backend', message: 'Non-zero status code' },
    ];
    for (const outcome of outcomes) observe(finished(50, outcome));
    observe(finished(50, completed(true), aRequest({ isDeadlineDefaulted: true })));

    const samples = scrape(telemetry);
    const outcomeCount = (outcome: string, reason: string) =>
      samples.get(`sponge_outcomes_total{${MODEL},outcome="${outcome}",reason="${reason}"}`);
    expect(outcomeCount('completed_on_time', '')).toBe(2);
    expect(outcomeCount('completed_late', '')).toBe(2);
    expect(outcomeCount('rejected_overload', 'queue_overload')).toBe(1);
    expect(outcomeCount('rejected_infeasible', 'infeasible_at_max_cores')).toBe(1);
    expect(outcomeCount('expired', 'expired')).toBe(1);
    expect(outcomeCount('cancelled', 'cancelled')).toBe(1);
    expect(outcomeCount('failed', 'backend')).toBe(1);
    expect(outcomeCount('failed', 'draining')).toBe(0);
    // late, overload, infeasible, expired, failed
    expect(samples.get(`sponge_deadline_misses_total{${MODEL},deadline="stated"}`)).toBe(5);
    expect(samples.get(`sponge_deadline_misses_total{${MODEL},deadline="default"}`)).toBe(1);

    const failures = (reason: string) => samples.get(`nv_inference_request_failure{${MODEL},reason="${reason}"}`);
    expect([failures('REJECTED'), failures('CANCELED'), failures('BACKEND'), failures('OTHER')]).toEqual([3, 1, 1, 0]);
    expect(samples.get(`nv_inference_request_success{${MODEL}}`)).toBe(4);
  });

  it('has a series for every reason from the first scrape on', () => {
    const { telemetry } = setUp();
    const text = telemetry.render();
    for (const reason of REASONS) expect(text).toMatch(new RegExp(`sponge_outcomes_total\\{.*reason="${reason}"\\} 0`));
    expect(text).toContain(`sponge_slack_seconds_count{${MODEL}} 0`);
  });

  it('measures where the time of a request went, in seconds', () => {
    const { telemetry, observe } = setUp();
    observe(received());
    observe(received(aRequest({ networkDelaySource: 'send_stamp', networkDelayMs: 40, isDeadlineDefaulted: true })));
    observe(batchStarted());
    observe(batchEnded());
    observe(finished(41, completed()));

    const samples = scrape(telemetry);
    const latencySum = (stage: string) => samples.get(`sponge_latency_seconds_sum{${MODEL},stage="${stage}"}`);
    expect(latencySum('queue')).toBeCloseTo(0.01, 9);
    expect(latencySum('worker')).toBeCloseTo(0.03, 9);
    expect(latencySum('compute')).toBeCloseTo(0.028, 9);
    expect(latencySum('total')).toBeCloseTo(0.041, 9);
    expect(samples.get(`sponge_budget_seconds_sum{${MODEL},deadline="stated"}`)).toBeCloseTo(0.08, 9); // 100 − 20
    expect(samples.get(`sponge_budget_seconds_sum{${MODEL},deadline="default"}`)).toBeCloseTo(0.06, 9); // 100 − 40
    expect(samples.get(`sponge_network_delay_seconds_sum{${MODEL},source="transfer"}`)).toBeCloseTo(0.02, 9);
    expect(samples.get(`sponge_network_delay_seconds_sum{${MODEL},source="send_stamp"}`)).toBeCloseTo(0.04, 9);
    expect(samples.get(`sponge_batch_size_sum{${MODEL}}`)).toBe(2);
    expect(samples.get(`sponge_actual_to_predicted_latency_ratio_sum{${MODEL}}`)).toBe(1.2);
    expect(samples.get(`sponge_batches_total{${MODEL},result="completed"}`)).toBe(1);
  });

  it('puts slack into buckets on both sides of zero, and what is above them all only into +Inf', () => {
    const { telemetry, observe } = setUp();
    for (const slackAtDispatchMs of [-700, -3, 3, 60_000])
      observe(finished(50, completed(false, { slackAtDispatchMs })));
    const samples = scrape(telemetry);
    const upTo = (bound: string) => samples.get(`sponge_slack_seconds_bucket{le="${bound}",${MODEL}}`);
    expect(['-2', '-0.5', '-0.01', '0', '0.01', '5', '+Inf'].map(upTo)).toEqual([0, 1, 1, 2, 3, 3, 4]);
  });

  it('counts a batch of two as two inferences and one execution, in Triton’s names and microseconds', () => {
    const { telemetry, observe } = setUp();
    observe(batchEnded());
    observe(batchEnded({ result: 'worker-lost', actualToPredicted: null }));
    observe(finished(41, completed()));
    observe(finished(43, completed()));
    const samples = scrape(telemetry);
    const nv = (name: string) => samples.get(`nv_inference_${name}{${MODEL}}`);
    expect(nv('count')).toBe(2);
    expect(nv('exec_count')).toBe(1);
    expect(nv('request_duration_us')).toBe(84_000); // 41 + 43 ms
    expect(nv('queue_duration_us')).toBe(20_000); // 2 × 10 ms
    expect(nv('compute_input_duration_us')).toBe(0);
    expect(nv('compute_infer_duration_us')).toBe(56_000); // 2 × 28 ms
    expect(nv('compute_output_duration_us')).toBe(4_000); // 2 × (30 − 28) ms
  });

  it('reads queue depth, kernel counters and router CPU at the scrape', () => {
    const { telemetry, worker } = setUp();
    telemetry.render();
    worker.queueDepth = 3;
    worker.usedSeconds = 4.5;
    const samples = scrape(telemetry);
    expect(samples.get(`sponge_queue_depth{${MODEL}}`)).toBe(3);
    expect(samples.get(`nv_inference_pending_request_count{${MODEL}}`)).toBe(3);
    expect(samples.get(`sponge_cpu_seconds_total{${MODEL}}`)).toBe(4.5);
    expect(samples.get(`sponge_cpu_periods_total{${MODEL}}`)).toBe(50);
    expect(samples.get(`sponge_cpu_throttled_periods_total{${MODEL}}`)).toBe(5);
    expect(samples.get(`sponge_cpu_throttled_seconds_total{${MODEL}}`)).toBe(0.25);
    expect(samples.get('sponge_router_cpu_seconds_total')).toBe(12.5);
    expect(samples.get('nv_cpu_memory_total_bytes')).toBeGreaterThan(0);
  });

  it('exposes no kernel counters where there are none', () => {
    const { telemetry, worker } = setUp();
    worker.hasCounters = false;
    const samples = scrape(telemetry);
    expect(samples.has(`sponge_cpu_seconds_total{${MODEL}}`)).toBe(false);
    expect(samples.get(`sponge_allocated_cpu_seconds_total{${MODEL}}`)).toBe(0);
  });

  it('charges granted or used CPU, whichever is more, in windows of 100 ms', () => {
    const { clock, telemetry, worker, observe } = setUp();
    clock.advanceTo(50);
    worker.usedSeconds = 0.18;
    clock.advanceTo(100); // granted 0.1 core-seconds, used 0.18
    observe({ kind: 'resize-requested', atMs: 100, resizeId: 1, fromMillicores: 1000, toMillicores: 2000 });
    clock.advanceTo(200); // granted 0.2, used nothing
    observe({ kind: 'resized', atMs: 200, resizeId: 1, cpuMillicores: 2000, isWritten: true, tookMs: 0.3 });
    clock.advanceTo(250); // 0.1 granted in the open window
    const samples = scrape(telemetry);
    expect(samples.get(`sponge_allocated_cpu_seconds_total{${MODEL}}`)).toBeCloseTo(0.18 + 0.2 + 0.1, 9);
    expect(samples.get(`sponge_allocation_millicores{${MODEL}}`)).toBe(2000);
    expect(samples.get(`sponge_resizes_total{${MODEL},result="written"}`)).toBe(1);
    expect(samples.get(`sponge_resize_seconds_sum{${MODEL}}`)).toBeCloseTo(0.0003, 9);
  });

  it('reads the counters of a model that has nothing to do once a second, and hides no use behind that', () => {
    const { clock, telemetry, worker, observe } = setUp({ millicores: [100] });
    clock.advanceTo(10_000);
    // Once when it is attached, ten times within the first second and once in each of the others, or a little more seldom.
    expect(worker.reads).toBeLessThanOrEqual(20);
    clock.advanceTo(10_550);
    const before = worker.reads;
    observe({ kind: 'resize-requested', atMs: 10_550, resizeId: 1, fromMillicores: 100, toMillicores: 200 });
    clock.advanceTo(10_590);
    worker.usedSeconds = 0.09;
    clock.advanceTo(10_650);
    expect(worker.reads).toBe(before + 1);
    const samples = scrape(telemetry);
    // 10.55 s of 100 millicores; 0.05 s of 200, or the 0.09 that was used; 0.05 s of the open window.
    expect(samples.get(`sponge_allocated_cpu_seconds_total{${MODEL}}`)).toBeCloseTo(1.055 + 0.09 + 0.01, 9);
  });

  it('charges an instance from the request for it, cold start included, until it has ended', () => {
    const { clock, telemetry, observe } = setUp({ millicores: [250], startingMillicores: 250 });
    const instances = (): number | undefined => scrape(telemetry).get(`sponge_instances{${MODEL}}`);
    const changed = (atMs: number, count: number): void =>
      observe({ kind: 'instances-changed', atMs, instances: count });
    expect(instances()).toBe(1);

    clock.advanceTo(1000); // 1 s × 1 × 0.25
    observe({ kind: 'instances-requested', atMs: 1000, fromInstances: 1, toInstances: 3 });
    clock.advanceTo(3000); // 2 s × 3 × 0.25, two of them starting
    changed(3000, 2);
    clock.advanceTo(3500); // 0.5 s × 3 × 0.25
    changed(3500, 3);
    expect(instances()).toBe(3);
    clock.advanceTo(5500); // 2 s × 3 × 0.25; then one dies, and is started anew for 1 s × 3 × 0.25
    changed(5500, 2);
    expect(instances()).toBe(2);
    clock.advanceTo(6500);
    changed(6500, 3);
    observe({ kind: 'instances-requested', atMs: 6500, fromInstances: 3, toInstances: 1 });
    changed(6500, 2); // one was idle and is gone at once …
    clock.advanceTo(6900); // … one ends its batch first: 0.4 s × 2 × 0.25
    changed(6900, 1);
    clock.advanceTo(8900); // 2 s × 1 × 0.25
    const coreSeconds = 0.25 * (1 + 2 * 3 + 0.5 * 3 + 2 * 3 + 1 * 3 + 0.4 * 2 + 2 * 1);
    const samples = scrape(telemetry);
    expect(samples.get(`sponge_allocated_cpu_seconds_total{${MODEL}}`)).toBeCloseTo(coreSeconds, 9);
    expect(samples.get(`sponge_instances{${MODEL}}`)).toBe(1);
  });

  it('says of each of several instances what it ran, for how long, on what, and whether it can', () => {
    const { clock, telemetry, worker, observe } = setUp({ millicores: [3900, 100] });
    const samples = (name: string): (number | undefined)[] => {
      const all = scrape(telemetry);
      return ['0', '1', '2'].map((instance) => all.get(`sponge_instance_${name}{${MODEL},instance="${instance}"}`));
    };
    // From the first scrape on, and of no instance that there is not.
    expect(samples('batches_total')).toEqual([0, 0, undefined]);
    expect(samples('busy_seconds_total')).toEqual([0, 0, undefined]);
    expect(samples('ready')).toEqual([1, 1, undefined]);

    observe({ kind: 'resized', atMs: 5, resizeId: 1, instance: 0, cpuMillicores: 1500, isWritten: true, tookMs: 0.1 });
    observe(batchStarted({ atMs: 10, batchId: 1, instance: 0 }));
    observe(batchStarted({ atMs: 20, batchId: 2, instance: 1 }));
    observe(batchEnded({ atMs: 40, batchId: 1 }));
    observe(batchStarted({ atMs: 50, batchId: 3, instance: 0 }));
    observe(batchEnded({ atMs: 60, batchId: 3, result: 'worker-lost' }));
    worker.restarting = 0;
    clock.advanceTo(100);
    // 30 + 10 ms; and the one that runs, since 80 ms.
    expect(samples('busy_seconds_total')).toEqual([0.04, 0.08, undefined]);
    expect(samples('batches_total')).toEqual([2, 0, undefined]);
    expect(samples('ready')).toEqual([0, 1, undefined]);
    expect(samples('allocation_millicores')).toEqual([1500, 100, undefined]);
    const all = scrape(telemetry);
    expect(all.get(`sponge_granted_millicores{${MODEL}}`)).toBe(1600);
    expect(all.get(`sponge_allocation_millicores{${MODEL}}`)).toBe(1600);
  });

  it('says what alike instances hold together, and has no series of each', () => {
    const { telemetry, observe } = setUp({ millicores: [250], startingMillicores: 250 });
    observe({ kind: 'instances-changed', atMs: 10, instances: 3 });
    const samples = scrape(telemetry);
    expect(samples.get(`sponge_granted_millicores{${MODEL}}`)).toBe(750);
    expect(samples.get(`sponge_allocation_millicores{${MODEL}}`)).toBe(250);
    expect([...samples.keys()].filter((name) => name.startsWith('sponge_instance_'))).toEqual([]);
  });

  it('shows no instance while all are lost', () => {
    const { telemetry, observe } = setUp();
    const instances = (): number | undefined => scrape(telemetry).get(`sponge_instances{${MODEL}}`);
    observe({ kind: 'worker-lost', atMs: 4, message: 'exit code 1', restartEstimateMs: 500 });
    expect(instances()).toBe(0);
    observe({ kind: 'worker-ready', atMs: 5 });
    expect(instances()).toBe(1);
  });

  it('shows whether a spare stands ready, and counts the losses that one took over from', () => {
    const { telemetry, worker, observe } = setUp();
    const shown = (): unknown[] => {
      const samples = scrape(telemetry);
      return ['spare_ready', 'worker_losses_total', 'worker_takeovers_total'].map((name) =>
        samples.get(`sponge_${name}{${MODEL}}`),
      );
    };
    expect(shown()).toEqual([0, 0, 0]);
    worker.hasSpare = true;
    expect(shown()).toEqual([1, 0, 0]);
    worker.hasSpare = false;
    for (const isTakeover of [true, false]) {
      observe({ kind: 'worker-lost', atMs: 4, message: 'killed', restartEstimateMs: 0 });
      observe({ kind: 'worker-ready', atMs: 5, ...(isTakeover ? { isTakeover } : {}) });
    }
    expect(shown()).toEqual([0, 2, 1]);
  });

  it('shows the plan in force, refused and needless resizes, and lost workers', () => {
    const { telemetry, observe } = setUp();
    const plan = { instances: 1, cpuMillicores: 1700, batchSize: 4 };
    observe({
      kind: 'planned',
      atMs: 1,
      trigger: 'arrival',
      plan: { kind: 'infeasible', reason: 'deadlines', ...plan },
    });
    observe({ kind: 'resized', atMs: 2, resizeId: 1, cpuMillicores: 1700, isWritten: false, tookMs: 0 });
    observe({ kind: 'resize-refused', atMs: 3, resizeId: 1, message: 'read-only' });
    observe({ kind: 'worker-lost', atMs: 4, message: 'exit code 1', restartEstimateMs: 500 });
    observe({ kind: 'worker-ready', atMs: 5 });
    const samples = scrape(telemetry);
    expect(samples.get(`sponge_plan_millicores{${MODEL}}`)).toBe(1700);
    expect(samples.get(`sponge_plan_batch_size{${MODEL}}`)).toBe(4);
    expect(samples.get(`sponge_plan_infeasible{${MODEL}}`)).toBe(1);
    expect(samples.get(`sponge_plans_total{${MODEL},trigger="arrival"}`)).toBe(1);
    expect(samples.get(`sponge_resizes_total{${MODEL},result="unchanged"}`)).toBe(1);
    expect(samples.get(`sponge_resizes_total{${MODEL},result="refused"}`)).toBe(1);
    expect(samples.get(`sponge_resize_seconds_count{${MODEL}}`)).toBe(0);
    expect(samples.get(`sponge_worker_losses_total{${MODEL}}`)).toBe(1);
  });

  it('keeps models apart, and leaves no timer behind when closed', () => {
    const { clock, telemetry, observe } = setUp();
    const source: ModelSource = {
      ...{ model: 'mlp', version: '2', limitMillicores: 1500, millicores: [500] },
      ...{ isReady: () => true, isSpareReady: () => false, readCounters: () => null, queueDepth: () => 0 },
    };
    telemetry.attachModel(source);
    observe(finished(50, completed()));
    const samples = scrape(telemetry);
    expect(samples.get('nv_inference_request_success{model="mlp",version="2"}')).toBe(0);
    // Each has a share of the cores: 4000 + 1500.
    expect(samples.get('sponge_limit_millicores{model="mlp",version="2"}')).toBe(1500);
    expect(samples.get('sponge_core_budget_millicores')).toBe(5500);
    expect(clock.pendingCount).toBe(1);
    telemetry.close();
    expect(clock.pendingCount).toBe(0);
  });

  it('adds up what two of a version do while one takes the place of the other, and forgets both with the last of them', () => {
    const { telemetry, source, observe, detach } = setUp();
    observe(finished(50, completed()));
    const before = scrape(telemetry);
    expect(before.get(`nv_inference_request_success{${MODEL}}`)).toBe(1);
    const successor = telemetry.attachModel(source);
    successor.observe(finished(60, completed()));
    observe(finished(70, completed()));
    expect(scrape(telemetry).get(`nv_inference_request_success{${MODEL}}`)).toBe(3);
    detach();
    const after = scrape(telemetry);
    expect(after.get(`nv_inference_request_success{${MODEL}}`)).toBe(3);
    expect(after.get(`sponge_outcomes_total{${MODEL},outcome="completed_on_time",reason=""}`)).toBe(3);
    successor.detach();
    expect(telemetry.render()).not.toContain(MODEL);
    expect(telemetry.statistics()).toEqual([]);
  });

  it('counts the rows of client-side batches as inferences, as Triton does', () => {
    const { telemetry, observe } = setUp();
    observe(batchEnded({ batchSize: 2, rowCount: 6, latencyMs: 30, computeMs: 28 }));
    const [statistics] = telemetry.statistics();
    expect(statistics).toMatchObject({ inferenceCount: 6, executionCount: 1 });
    // Durations are summed over requests, as success and queue are: their mean is what a request sees.
    expect(statistics!.inferenceStats.compute_infer).toEqual({ count: 2, ns: 2 * 28e6 });
    expect(statistics!.batchStats).toMatchObject([{ batchSize: 6, computeInfer: { count: 1, ns: 28e6 } }]);
  });

  it('gives Triton’s statistics: per request once a member, per batch size once an execution', () => {
    const { telemetry, observe } = setUp();
    observe(batchEnded({ batchSize: 2, latencyMs: 30, computeMs: 28 }));
    observe(batchEnded({ batchSize: 1, latencyMs: 20, computeMs: 19 }));
    observe(finished(41, completed()));
    observe(finished(55, overloaded()));
    expect(telemetry.statistics('ocr', '2')).toEqual([]);
    expect(telemetry.statistics()).toEqual([
      {
        name: 'ocr',
        version: '1',
        lastInference: 1_700_000_000_000,
        inferenceCount: 3,
        executionCount: 2,
        inferenceStats: {
          success: { count: 1, ns: 41e6 },
          fail: { count: 1, ns: 55e6 },
          queue: { count: 1, ns: 10e6 },
          compute_input: { count: 3, ns: 0 },
          compute_infer: { count: 3, ns: 75e6 }, // 2 × 28 + 19
          compute_output: { count: 3, ns: 5e6 }, // 2 × 2 + 1
        },
        batchStats: [
          {
            batchSize: 1,
            computeInput: { count: 1, ns: 0 },
            computeInfer: { count: 1, ns: 19e6 },
            computeOutput: { count: 1, ns: 1e6 },
          },
          {
            batchSize: 2,
            computeInput: { count: 1, ns: 0 },
            computeInfer: { count: 1, ns: 28e6 },
            computeOutput: { count: 1, ns: 2e6 },
          },
        ],
      },
    ]);
  });
});
