import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/scheduler/domain/event.js';
import type { LatencyModel } from '../../src/scheduler/domain/latency.js';
import { outcomeName, type OutcomeName } from '../../src/scheduler/domain/outcome.js';
import type { InferRequest } from '../../src/scheduler/domain/request.js';
import { runSeed, worldOf } from '../../src/simulator/comparison/run-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { EventDigest } from '../../src/simulator/sim/event-digest.js';
import { jointSystem } from '../fixtures/joint-system.js';
import { dueAt } from '../simulation/fixed-latency.js';

/*
 * What must hold of several instances whatever happens: checked in whole systems on a virtual clock, some of them with faults.
 */

const BUDGET_MILLICORES = 8000;

/** l(b, c) = (12·b + 3)/c + 0.5·b + 2 ms, c in cores; planned with a fifth more. */
const latencyMs = (batchSize: number, cpuMillicores: number): number =>
  ((12 * batchSize + 3) * 1000) / cpuMillicores + 0.5 * batchSize + 2;
const MODEL: LatencyModel = {
  predictedLatencyMs: latencyMs,
  plannedLatencyMs: (batchSize, cpuMillicores) => 1.2 * latencyMs(batchSize, cpuMillicores),
  leastLatencyMs: (batchSize, cpuMillicores) => 1.2 * latencyMs(batchSize, cpuMillicores),
};

interface RunOptions {
  readonly seed: number;
  readonly instances: number;
  readonly ratePerSec: number;
  readonly durationMs?: number;
  readonly faults?: 'none' | 'crashes, refusals, late read-backs' | 'slow resizes';
  /** How many come at the same instant with the same deadline; their sequences in ascending order, or in descending. */
  readonly twins?: { readonly count: number; readonly isReversed: boolean };
}

interface RunReport {
  readonly sent: number;
  readonly outcomes: ReadonlyMap<OutcomeName, number>;
  /** Of what a checker saw go wrong; empty when all is well. */
  readonly violations: readonly string[];
  readonly digest: string;
  /** What started when, where and on what, and what was resized to what: without who it was for. */
  readonly decisions: readonly string[];
  readonly resizes: number;
  readonly refused: number;
  readonly lost: number;
  /** Batches that ran beside another. */
  readonly sideBySide: number;
}

function run(options: RunOptions): RunReport {
  const {
    seed,
    instances,
    ratePerSec,
    durationMs = 10_000,
    faults = 'none',
    twins = { count: 1, isReversed: false },
  } = options;
  const prng = new Prng(seed);
  const faultPrng = new Prng(seed + 1_000_000);
  const violations: string[] = [];
  const decisions: string[] = [];
  const digest = new EventDigest();
  const granted: number[] = [];
  const running = new Set<number>();
  let [resizes, refused, lost, sideBySide] = [0, 0, 0, 0];
  const onEvent = (event: Event): void => {
    digest.observe(event);
    const at = event.atMs.toFixed(6);
    if (event.kind === 'batch-started') {
      if (running.size > 0) sideBySide += 1;
      running.add(event.batchId);
      decisions.push(`${at} batch of ${event.batchSize} on ${event.instance}: ${event.cpuMillicores}`);
      if (event.threadCount > Math.ceil(event.cpuMillicores / 1000)) violations.push(`too many threads at ${at}`);
    }
    if (event.kind === 'batch-ended') running.delete(event.batchId);
    if (event.kind === 'resize-requested') decisions.push(`${at} ${event.instance} to ${event.toMillicores}`);
    if (event.kind === 'resize-refused') refused += 1;
    if (event.kind === 'worker-lost') lost += 1;
    if (event.kind === 'resized') {
      resizes += 1;
      granted[event.instance!] = event.cpuMillicores;
      const sum = granted.reduce((total, each) => total + each, 0);
      if (sum > BUDGET_MILLICORES) violations.push(`${sum} millicores were granted at ${at}`);
    }
  };
  const { clock, system, workers, inForceMillicores } = jointSystem({
    model: MODEL,
    instances,
    maxMillicores: BUDGET_MILLICORES,
    maxBatchSize: 8,
    stepMillicores: 100,
    idleMillicores: 100,
    onEvent,
    ...(faults === 'none'
      ? {}
      : {
          noise: () => (faultPrng.uniform() < 0.02 ? 3 : 0.9 + 0.2 * faultPrng.uniform()),
          delayMs: () => (faults === 'slow resizes' ? 500 + 500 * faultPrng.uniform() : faultPrng.uniform()),
          readBackMs: () => (faultPrng.uniform() < 0.1 ? 20 * faultPrng.uniform() : 0),
          isRefused: () => faultPrng.uniform() < 0.05,
        }),
  });
  inForceMillicores.forEach((millicores, instance) => (granted[instance] = millicores));

  const outcomes = new Map<OutcomeName, number>();
  const answered = new Set<number>();
  let sent = 0;
  const submit = (request: InferRequest): void =>
    system.submit(request, (outcome) => {
      if (answered.has(request.sequence)) violations.push(`request ${request.sequence} had two outcomes`);
      answered.add(request.sequence);
      outcomes.set(outcomeName(outcome), (outcomes.get(outcomeName(outcome)) ?? 0) + 1);
    });
  const arrive = (): void => {
    const nowMs = clock.nowMs();
    const budgetMs = 40 + 400 * prng.uniform();
    const sequences = Array.from({ length: twins.count }, () => ++sent);
    if (twins.isReversed) sequences.reverse();
    const fields = { receivedAtMs: nowMs, sloMs: budgetMs, byteCount: 1 };
    for (const sequence of sequences) submit(dueAt(sequence, nowMs + budgetMs, fields));
    const nextAtMs = nowMs + prng.exponential((1000 * twins.count) / ratePerSec);
    if (nextAtMs < durationMs) clock.schedule(nextAtMs, arrive);
  };
  clock.schedule(0, arrive);
  if (faults === 'crashes, refusals, late read-backs') {
    for (let crash = 0; crash < 3; crash++) {
      clock.schedule(durationMs * faultPrng.uniform(), () => workers.kill('simulated crash'));
    }
  }
  while (clock.nextAtMs() < durationMs + 20_000) {
    clock.fireNext();
    const sum = inForceMillicores.reduce((total, each) => total + each, 0);
    if (sum > BUDGET_MILLICORES) violations.push(`${sum} millicores were in force at ${clock.nowMs().toFixed(3)}`);
  }
  const { heldRequests } = system.status();
  if (heldRequests !== 0) violations.push(`${heldRequests} requests are still held 20 s after the last one`);
  if (answered.size !== sent) violations.push(`${sent - answered.size} of ${sent} requests have no outcome`);
  system.stop();
  return { sent, outcomes, violations, digest: digest.text, decisions, resizes, refused, lost, sideBySide };
}

const SEEDS = Array.from({ length: 4 }, (_, index) => 6100 + index);

describe('several instances in a whole system', () => {
  it.each(['none', 'crashes, refusals, late read-backs', 'slow resizes'] as const)(
    'stay within the budget, and give every request exactly one outcome (faults: %s)',
    (faults) => {
      const total = { resizes: 0, refused: 0, lost: 0, sideBySide: 0 };
      for (const seed of SEEDS) {
        for (const [instances, ratePerSec] of [
          [2, 60],
          [4, 150],
          [4, 500],
        ] as const) {
          const report = run({ seed, instances, ratePerSec, faults });
          expect(report.violations, `seed ${seed}, ${instances} instances, ${ratePerSec}/s`).toEqual([]);
          for (const key of ['resizes', 'refused', 'lost', 'sideBySide'] as const) total[key] += report[key];
        }
      }
      // What they are for did happen.
      expect(total.sideBySide).toBeGreaterThan(1000);
      expect(total.resizes).toBeGreaterThan(100);
      if (faults !== 'none') expect(total.refused).toBeGreaterThan(10);
      if (faults === 'crashes, refusals, late read-backs') expect(total.lost).toBeGreaterThan(30);
    },
  );

  it('meet nearly every deadline at a load that they can carry', () => {
    for (const seed of SEEDS) {
      const { outcomes, sent } = run({ seed, instances: 4, ratePerSec: 100 });
      expect(outcomes.get('completed_on_time')! / sent, `seed ${seed}`).toBeGreaterThan(0.98);
    }
  });

  it('repeat bit for bit from their seed, faults and all', () => {
    const options = { instances: 4, ratePerSec: 150, faults: 'crashes, refusals, late read-backs' } as const;
    const first = run({ seed: 5, ...options });
    expect(run({ seed: 5, ...options })).toEqual(first);
    expect(run({ seed: 6, ...options }).digest).not.toBe(first.digest);
  });

  it('decide the same in whichever order equal requests come', () => {
    for (const seed of SEEDS) {
      const decisionsOf = (isReversed: boolean): readonly string[] =>
        run({ seed, instances: 3, ratePerSec: 200, durationMs: 4000, twins: { count: 3, isReversed } }).decisions;
      const ascending = decisionsOf(false);
      expect(ascending.length).toBeGreaterThan(200);
      expect(decisionsOf(true), `seed ${seed}`).toEqual(ascending);
    }
  });
});

describe('with more instances', () => {
  // 16 cores; at most so many of all requests fewer, which is chance: other batches meet other requests.
  const TOLERATED_FRACTION = 0.001;

  it.each(['authors', 'bursts', 'mixed-payloads', 'overload'])('no fewer are answered in time: %s', (name) => {
    const { scenario, name: title, folder } = readScenario(name, ['durationSec=60']);
    const setup = setUp(scenario, title, folder);
    const onTime = { sent: 0, one: 0, two: 0, four: 0 };
    for (const seed of [1001, 1002]) {
      const world = worldOf(setup, seed);
      const of = (instances: number): number => runSeed(setup, world, `sponge(instances=${instances})`).onTime;
      onTime.sent += world.workload.count;
      onTime.one += of(1);
      onTime.two += of(2);
      onTime.four += of(4);
    }
    const tolerated = TOLERATED_FRACTION * onTime.sent;
    expect(onTime.two).toBeGreaterThanOrEqual(onTime.one - tolerated);
    expect(onTime.four).toBeGreaterThanOrEqual(onTime.two - tolerated);
  });
});
