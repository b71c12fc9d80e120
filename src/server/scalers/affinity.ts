import { execFile, spawnSync } from 'node:child_process';
import type { ResizeResult } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { CoreUse } from './core-use.js';
import { parseCpuList } from './cpu-list.js';
import { allowedCpuList, createThreadUsage, inferenceThreads } from './inference-threads.js';
import type { AdapterOptions, ScalerHandle } from './scaler-handle.js';
import { ScalerUnavailable, assertWithinLimits } from './scaler-handle.js';

/** Sets one CPU list for many threads from one process; a thread that ended meanwhile is no failure. */
const PIN_SCRIPT = 'cpus=$1; shift; for tid do taskset -pc "$cpus" "$tid" >/dev/null; done';

/** One `sh` and a `taskset` for each thread: p50 11 ms for two threads that keep both cores of a VM busy. */
const EXPECTED_DELAY_MS = 10;

interface Waiting {
  readonly startedAtMs: number;
  readonly onApplied: (result: ResizeResult) => void;
}

/**
 * Whole cores by CPU affinity: no privileges, for machines without a usable cgroup. Pins the inference thread and the
 * threads it made, each by itself (sched_setaffinity(2), through util-linux' taskset since Node has no such call); the
 * rest of the worker and the router stay free. It is no reservation: others may use these cores too. The inference
 * threads run at a lower priority (see `joinGroup`) so that the router goes first where they meet. Several models of one
 * process use different cores (`core-use.ts`). Nothing is kept while idle: threads that do nothing stay where they were last,
 * and whoever needs a core has it.
 *
 * Calls that come while one is being carried out are answered together, with the result of the newest.
 */
export function openAffinity(options: AdapterOptions): ScalerHandle {
  const { cpus } = options.ceiling;
  requireTaskset(cpus);
  const limits = wholeCoreLimits(options);
  const cores = new CoreUse(cpus);
  const usage = createThreadUsage();
  let workerPid: number | null = null;
  let wantedCpus = cores.use(limits.maxMillicores / 1000);
  let waiting: Waiting[] = [];
  let isRequested = false;
  let isRunning = false;

  function request(): void {
    isRequested = true;
    if (isRunning) return;
    isRunning = true;
    queueMicrotask(run);
  }

  function run(): void {
    const answering = waiting;
    waiting = [];
    isRequested = false;
    // Another resize may come while this one is carried out.
    const cpusToUse = wantedCpus;
    const finish = (isWritten: boolean, stderr: string): void => {
      const unpinned = threadsNotOn(cpusToUse, workerPid);
      const message = `cannot pin threads ${unpinned.join(', ')}: ${stderr.trim() || 'another process changed them'}`;
      for (const { startedAtMs, onApplied } of answering) {
        const tookMs = performance.now() - startedAtMs;
        const cpuMillicores = cpusToUse.length * 1000;
        const result: ResizeResult =
          unpinned.length === 0 ? { kind: 'applied', cpuMillicores, isWritten, tookMs } : { kind: 'refused', message };
        onApplied(result);
      }
      if (answering.length === 0 && unpinned.length > 0) options.onWarning(message);
      isRunning = false;
      if (isRequested) request();
    };
    const toPin = threadsNotOn(cpusToUse, workerPid);
    if (toPin.length === 0) {
      finish(false, '');
      return;
    }
    execFile('sh', ['-c', PIN_SCRIPT, 'sh', cpusToUse.join(','), ...toPin.map(String)], (_error, _stdout, stderr) =>
      finish(true, stderr),
    );
  }

  return {
    scaler: {
      kind: 'affinity',
      isActuating: true,
      limits,
      idleMillicores: 0,
      expectedDelayMs: EXPECTED_DELAY_MS,
      resize(cpuMillicores, onApplied) {
        if (cpuMillicores !== 0) assertWithinLimits(cpuMillicores, limits);
        wantedCpus = cores.use(Math.ceil(cpuMillicores / 1000));
        waiting.push({ startedAtMs: performance.now(), onApplied });
        request();
      },
      readCounters: () => ({ usedSeconds: usage.usedSeconds(), periods: 0, throttledPeriods: 0, throttledSeconds: 0 }),
    },
    join: { kind: 'affinity' },
    rejoin: () => ({ kind: 'affinity' }),
    description: `CPU affinity, whole cores, ${limits.minMillicores} to ${limits.maxMillicores} millicores, no reservation`,
    attachProcess(pid) {
      usage.attach(pid);
      workerPid = pid;
      request();
    },
    close() {
      cores.release();
      return Promise.resolve();
    },
  };
}

/** Affinity cannot keep a fraction back for the router, so the largest allocation is all whole cores we may use. */
function wholeCoreLimits({ ceiling, limits, onWarning }: AdapterOptions): AllocationLimits {
  const mostMillicores = Math.min(ceiling.millicores, limits.maxMillicores ?? Infinity);
  if (mostMillicores < 1000) {
    const asked = mostMillicores === limits.maxMillicores ? 'asked for' : `that ${ceiling.limitedBy} leaves`;
    onWarning(`CPU affinity gives whole cores only: 1000 millicores instead of the ${mostMillicores} ${asked}`);
  }
  const maxMillicores = Math.max(1, Math.floor(mostMillicores / 1000)) * 1000;
  return { minMillicores: 1000, maxMillicores, stepMillicores: 1000 };
}

/** None where no cores are to be used: what rests may rest anywhere. */
function threadsNotOn(cpus: readonly number[], pid: number | null): number[] {
  if (pid === null || cpus.length === 0) return []; // applied when a worker attaches
  const wanted = cpus.join(',');
  return inferenceThreads(pid).filter((tid) => {
    const list = allowedCpuList(pid, tid);
    return list !== null && parseCpuList(list).join(',') !== wanted;
  });
}

/** Proves the right to pin by setting this thread's present mask once more, which changes nothing. */
function requireTaskset(cpus: readonly number[]): void {
  const { error, status, stderr } = spawnSync('taskset', ['-pc', cpus.join(','), String(process.pid)], {
    encoding: 'utf8',
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
    throw new ScalerUnavailable('the program taskset is missing: install util-linux (Linux only)');
  if (error) throw new ScalerUnavailable(`the program taskset cannot be run: ${error.message}`);
  if (status !== 0) throw new ScalerUnavailable(`the kernel refuses to pin threads: ${stderr.trim()}`);
}
