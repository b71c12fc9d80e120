import { writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { dirname, join as joinPath } from 'node:path';
import { createScaler, type DetectedScaler } from '../../src/server/scalers/detect.js';
import type { JoinInstruction } from '../../src/server/scalers/join.js';
import { SystemClock } from '../../src/server/system-clock.js';
import type { Scaler } from '../../src/scheduler/controlplane/scaler.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import type { BatchWork } from './batch-work.js';
import { AgreementWorker } from './worker.js';

export interface LiveMachineOptions {
  /** The bundled `worker-process.ts`. */
  readonly program: string;
  readonly groupName: string;
  readonly maxMillicores: number;
  readonly maxBatchSize: number;
  readonly workOf: (batchSize: number) => BatchWork;
  /** Sleep even where burning is possible. */
  readonly mustSleep: boolean;
}

/** A worker process and the means to resize it. */
export interface LiveMachine {
  readonly worker: AgreementWorker;
  readonly scaler: Scaler;
  /** Why batches sleep; null where they burn CPU under a quota. */
  readonly sleepsBecause: string | null;
  readonly description: string;
  /** Exist as long as the group does. */
  readonly groupFiles: readonly string[];
  /** Resolves when it is in force. */
  readonly resize: (cpuMillicores: number) => Promise<void>;
  /** Leaves neither process nor group. Safe to call twice. */
  close(): Promise<void>;
}

/** Burns CPU under a cgroup's quota where the computer allows one. */
export async function openLiveMachine(options: LiveMachineOptions): Promise<LiveMachine> {
  if (options.mustSleep) return sleepingMachine(options, options.maxMillicores, 'it was asked to');
  const { groupName, maxMillicores } = options;
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const scaling = await createScaler({ kind: 'auto', groupName, limits: { maxMillicores }, onWarning });
  const isQuota = scaling.scaler.kind === 'cgroup-v1' || scaling.scaler.kind === 'cgroup-v2';
  if (isQuota) return burningMachine(options, scaling, warnings);
  await scaling.close();
  return sleepingMachine(options, maxMillicores, scaling.passedOver.join('; '));
}

async function burningMachine(
  options: LiveMachineOptions,
  scaling: DetectedScaler,
  warnings: readonly string[],
): Promise<LiveMachine> {
  const { scaler, join, description } = scaling;
  const niceness = getPriority();
  let worker: AgreementWorker | null = null;
  const close = async (): Promise<void> => {
    await worker?.close();
    await scaling.close();
    ifAllowed(() => setPriority(niceness));
  };
  try {
    goBeforeOthers(join);
    worker = await startWorker(options, join, scaler.limits.maxMillicores);
    for (const threadId of worker.threadIds) scaling.attachProcess(worker.pid, threadId);
    if (warnings.length > 0) throw new Error(warnings.join('; '));
    return {
      worker,
      scaler,
      sleepsBecause: null,
      description,
      groupFiles: filesOf(join),
      resize: (cpuMillicores) => resize(scaler, cpuMillicores),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const GREATEST_SHARES = 262_144;
const GREATEST_WEIGHT = 10_000;
const ROUTER_NICENESS = -15;

/**
 * Other programs disturb less when they have to wait for the group, for this thread, which routes, and for the process that
 * it is about to start. What is measured is a quota, not a share.
 */
function goBeforeOthers(join: JoinInstruction): void {
  ifAllowed(() => {
    const [file] = filesOf(join);
    if (join.kind === 'cgroup-v1') writeFileSync(joinPath(dirname(file!), 'cpu.shares'), String(GREATEST_SHARES));
    if (join.kind === 'cgroup-v2') writeFileSync(joinPath(dirname(file!), 'cpu.weight'), String(GREATEST_WEIGHT));
    setPriority(ROUTER_NICENESS);
  });
}

function ifAllowed(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function filesOf(join: JoinInstruction): readonly string[] {
  if (join.kind === 'cgroup-v1') return join.taskFiles;
  return join.kind === 'cgroup-v2' ? [join.threadsFile] : [];
}

async function sleepingMachine(
  options: LiveMachineOptions,
  maxMillicores: number,
  sleepsBecause: string,
): Promise<LiveMachine> {
  const worker = await startWorker(options, null, maxMillicores);
  const scaler = new SimulatedScaler({
    clock: new SystemClock(),
    limits: { minMillicores: 100, maxMillicores, stepMillicores: 100 },
    cpuMillicores: maxMillicores,
    delayMs: () => 0,
    expectedDelayMs: 1,
    isRefused: () => false,
    apply: (cpuMillicores) => worker.resize(cpuMillicores),
  });
  return {
    worker,
    scaler,
    sleepsBecause,
    description: 'batches that sleep',
    groupFiles: [],
    resize: (cpuMillicores) => resize(scaler, cpuMillicores),
    close: () => worker.close(),
  };
}

function startWorker(
  { program, maxBatchSize, workOf }: LiveMachineOptions,
  join: JoinInstruction | null,
  cpuMillicores: number,
): Promise<AgreementWorker> {
  const threadCount = Math.ceil(cpuMillicores / 1000);
  return AgreementWorker.start({ program, maxBatchSize, workOf, join, cpuMillicores, threadCount });
}

function resize(scaler: Scaler, cpuMillicores: number): Promise<void> {
  return new Promise((resolve, reject) => {
    scaler.resize(cpuMillicores, (result) => {
      if (result.kind === 'applied') resolve();
      else reject(new Error(result.message));
    });
  });
}
