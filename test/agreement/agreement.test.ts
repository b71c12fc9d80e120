import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { percentText } from '../../src/scheduler/domain/percent.js';
import { worldOf } from '../../src/simulator/comparison/run-seed.js';
import { scenarioSchema } from '../../src/simulator/scenarios/schema.js';
import { setUp, type ScenarioSetup } from '../../src/simulator/scenarios/setup.js';
import { bundle } from '../system/scalers/bundle.js';
import { isAlive } from '../system/scalers/measure.js';
import { workOf } from './batch-work.js';
import { quantileOf, type Judgement } from './judgement.js';
import { openLiveMachine, type LiveMachine } from './live-machine.js';
import { measureProfile } from './measure-profile.js';
import { machineCores, watchOtherLoad } from './other-load.js';
import { runLive, runSimulated } from './runs.js';
import { tableOf, type Repetition } from './table.js';

/*
 * One scenario, live and simulated. Live: the system on the real clock, a worker process whose batches burn CPU under a real
 * quota that is resized while it runs. Simulated: the same requests on the machine that the worker's profile describes.
 *
 *   SPONGE_AGREEMENT_WORKER=sleep     batches that sleep, as where there is no cgroup
 *   SPONGE_AGREEMENT_POLICIES=a;b     other policies than `sponge`, judged alike; 65 s each
 */

const MEAN_CORES_TOLERANCE = 0.1;
const ON_TIME_TOLERANCE = 0.02;
const REPETITIONS = 3;
/** Where other programs disturb. */
const MOST_REPETITIONS = 5;

/** A batch of one needs 33 core-ms, one of four 108; a tenth of it on one thread only. */
const WORK = { gamma: 24, epsilon: 6, delta: 1, eta: 2 };
const MAX_BATCH_SIZE = 4;
/** Two threads, and a quarter of a core for the router. */
const MOST_MILLICORES = 1750;
const RATE_PER_SEC = 20;

/** Cores that other programs may use beyond what we leave over. */
const OTHER_CORES_TOLERANCE = 0.3;
/** Standard deviation of ln(run / curve) of a profile that was not disturbed: 0.04 to 0.08. */
const GREATEST_SCATTER = 0.1;
const MOST_PROFILES = 2;

const POLICIES = (process.env['SPONGE_AGREEMENT_POLICIES'] ?? 'sponge').split(';');
const MUST_SLEEP = process.env['SPONGE_AGREEMENT_WORKER'] === 'sleep';

const folder = mkdtempSync(join(tmpdir(), 'sponge-agreement-'));
let live: LiveMachine;
let closeLive = (): Promise<void> => Promise.resolve();
let setup: ScenarioSetup;
let isProfileDisturbed = false;

beforeAll(async () => {
  const program = join(folder, 'worker-process.mjs');
  bundle(join(import.meta.dirname, 'worker-process.ts'), program);
  live = await openLiveMachine({
    program,
    groupName: `test-${randomBytes(4).toString('hex')}`,
    maxMillicores: MOST_MILLICORES,
    maxBatchSize: MAX_BATCH_SIZE,
    workOf: (batchSize) => workOf(WORK, batchSize),
    mustSleep: MUST_SLEEP,
  });
  closeLive = () => live.close();
  if (live.sleepsBecause !== null) {
    console.warn(`NOT UNDER A QUOTA: batches sleep instead of burning CPU, because ${live.sleepsBecause}`);
  }
  setup = await measuredSetup();
});

afterAll(async () => {
  await closeLive();
  rmSync(folder, { recursive: true });
});

/** The scenario on the machine that is measured now; again if it was disturbed. */
async function measuredSetup(): Promise<ScenarioSetup> {
  for (let attempt = 1; ; attempt++) {
    const others = watchOtherLoad(live.worker.pid);
    const measured = scenarioOn(await measureProfile(live));
    const otherCores = others();
    const scatter = measured.machine.logDeviation;
    console.info(
      `profile of ${live.description}: runs scatter by ${percentText(scatter, 1)}; others used ${cores(otherCores)}`,
    );
    if (scatter <= GREATEST_SCATTER) return measured;
    if (attempt < MOST_PROFILES) continue;
    isProfileDisturbed = !isQuiet(otherCores);
    return measured;
  }
}

/** As a user would: the profile in a file, and a scenario that names it. */
function scenarioOn(profile: object): ScenarioSetup {
  const path = join(folder, 'profile.json');
  writeFileSync(path, JSON.stringify(profile));
  const { maxMillicores } = live.scaler.limits;
  const scenario = scenarioSchema.parse({
    durationSec: 20,
    profile: path,
    arrivals: {
      kind: 'mmpp',
      ratePerSec: (RATE_PER_SEC * maxMillicores) / MOST_MILLICORES,
      highFactor: 2.2,
      lowFactor: 0.6,
      dwellSec: [0.5, 2],
    },
    payloads: [{ bytes: 300_000, sloMs: 500 }],
    network: { mode: 'applied', replyBytes: 1000 },
    cpu: {
      minCores: 0.2,
      maxCores: maxMillicores / 1000,
      stepCores: 0.1,
      idleCores: 0.1,
      maxBatch: MAX_BATCH_SIZE,
    },
    worker: { stagingMs: 0.1 },
  });
  return setUp(scenario, 'agreement', folder);
}

/** Live first, then simulated, on one seed. */
async function repeat(policy: string, seed: number): Promise<Repetition> {
  const world = worldOf(setup, seed);
  const others = watchOtherLoad(live.worker.pid);
  const liveRun = await runLive(live, setup, world, policy);
  return { seed, live: liveRun, simulated: runSimulated(setup, world, policy), otherCores: others() };
}

/** Whether others left the machine to us. */
function isQuiet(otherCores: number | null): boolean {
  const ours = (live.scaler.limits.maxMillicores + 250) / 1000;
  return otherCores === null || otherCores <= machineCores() - ours + OTHER_CORES_TOLERANCE;
}

interface Errors {
  /** (live − simulated) / simulated. */
  readonly meanCores: number;
  /** Live − simulated. */
  readonly onTimeShare: number;
}

function errorsOf(repetitions: readonly Repetition[]): Errors {
  const medianOf = (side: 'live' | 'simulated', column: keyof Judgement & ('meanCores' | 'onTimeShare')): number =>
    quantileOf(
      repetitions.map((repetition) => repetition[side][column]),
      0.5,
    );
  return {
    meanCores: medianOf('live', 'meanCores') / medianOf('simulated', 'meanCores') - 1,
    onTimeShare: medianOf('live', 'onTimeShare') - medianOf('simulated', 'onTimeShare'),
  };
}

function isWithin({ meanCores, onTimeShare }: Errors): boolean {
  return Math.abs(meanCores) <= MEAN_CORES_TOLERANCE && Math.abs(onTimeShare) <= ON_TIME_TOLERANCE;
}

function cores(count: number | null): string {
  return count === null ? 'it cannot be told how many cores' : `${count.toFixed(2)} cores`;
}

describe('live and simulated', () => {
  it.for(POLICIES)('agree under %s', async (policy, { skip }) => {
    const all: Repetition[] = [];
    let judged: readonly Repetition[] = all;
    while (all.length < MOST_REPETITIONS) {
      all.push(await repeat(policy, all.length + 1));
      const quiet = all.filter(({ otherCores }) => isQuiet(otherCores));
      judged = quiet.length >= REPETITIONS ? quiet : all;
      if (judged.length >= REPETITIONS && (judged === quiet || isWithin(errorsOf(judged)))) break;
    }
    const errors = errorsOf(judged);
    const isDisturbed = isProfileDisturbed || !judged.every(({ otherCores }) => isQuiet(otherCores));
    const verdict = `medians of ${judged.length}: mean cores ${percentText(errors.meanCores, 1)}, on time ${(100 * errors.onTimeShare).toFixed(2)} points`;
    console.info(`${policy}, ${live.description}\n${tableOf(all)}\nlive against simulated, ${verdict}`);
    if (isDisturbed && !isWithin(errors)) {
      const note = `NOT JUDGED: other programs took the CPU away; ${verdict}`;
      console.warn(note);
      skip(note);
    }
    expect(Math.abs(errors.meanCores)).toBeLessThanOrEqual(MEAN_CORES_TOLERANCE);
    expect(Math.abs(errors.onTimeShare)).toBeLessThanOrEqual(ON_TIME_TOLERANCE);
  });

  it('leave neither a process nor a group behind', async () => {
    const { worker, groupFiles } = live;
    for (const file of groupFiles) expect(existsSync(file)).toBe(true);
    await closeLive();
    expect(isAlive(worker.pid)).toBe(false);
    for (const file of groupFiles) expect(existsSync(file)).toBe(false);
  });
});
