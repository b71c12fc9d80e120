import { readFileSync } from 'node:fs';
import { scrape } from './clients.js';
import { eventually, type RunningServer } from './harness.js';

/*
 * Catching a worker in the middle of a run, however short a run is on this machine and however slow this test. A server whose
 * worker is stopped must be told a `--hang-timeout-ms` that outlasts it.
 */

/** Longer than any test holds a worker. */
export const PATIENT = ['--hang-timeout-ms', '100000'];

/** 1/100 s each, `getconf CLK_TCK`: fields 14 and 15 of proc_pid_stat(5), counted from behind the name, which is field 2. */
function cpuTicksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Resolves when the process has used 30 ms of CPU from now on, which a worker that only waits never does. */
export async function untilComputing(pid: number): Promise<void> {
  const fromTicks = cpuTicksOf(pid);
  await eventually(`process ${pid} to compute`, () => cpuTicksOf(pid) >= fromTicks + 3, 60_000);
}

/** A run that cannot end before `release`. */
export interface HeldRun<Answer> {
  readonly answer: Promise<Answer>;
  release(): void;
}

/**
 * Starts a run and stops the server's workers before it ends; tries again where the run was over before.
 * @param send makes a server that does nothing else run one batch
 */
export async function holdRun<Answer>(server: RunningServer, send: () => Promise<Answer>): Promise<HeldRun<Answer>> {
  for (;;) {
    const workers = server.workers();
    const signal = (name: NodeJS.Signals): void => workers.forEach((pid) => void process.kill(pid, name));
    const before = await batchesOf(server);
    const answer = send();
    answer.catch(() => undefined); // Whoever awaits it is told.
    await eventually('the run to start', async () => (await batchesOf(server)).started > before.started);
    signal('SIGSTOP');
    // Twice: what the worker had sent by then may reach the server together with the first question.
    await scrape(server);
    const now = await batchesOf(server);
    if (now.ended < now.started) return { answer, release: () => signal('SIGCONT') };
    signal('SIGCONT');
    await answer;
  }
}

/** Of the server's model so far. */
export async function batchesOf(server: RunningServer): Promise<{ readonly started: number; readonly ended: number }> {
  const metrics = await scrape(server);
  const ended = metrics.names.has('sponge_batches_total') ? metrics.sum('sponge_batches_total') : 0;
  return { started: metrics.sum('sponge_batch_size_count'), ended };
}
