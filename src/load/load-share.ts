import { setUp } from '../simulator/scenarios/setup.js';
import type { ScenarioFile } from '../simulator/comparison/simulate.js';
import { LoadLedger, type LoadColumns, type LoadCounts } from './load-ledger.js';
import { planLoad } from './load-plan.js';
import { runLoad } from './load-run.js';
import { openTransport } from './open-transport.js';
import { overShapedLinks } from './shaping/over-shaped-links.js';
import type { LoadTarget } from './target.js';

/*
 * One thread's share of a load: some of the clients, on an event loop of its own. Each share plans its own part of the same load. Where it
 * runs, and how it hears of its load, is its caller's: a thread of this process, or a process in another network.
 */

export interface LoadShare {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly target: LoadTarget;
  /** Clients whose number leaves this remainder are this thread's. */
  readonly thread: number;
  readonly threads: number;
  /** Each client's own end of a link that the kernel shapes; null: no such links, uploads are paced here. */
  readonly clientAddresses: readonly string[] | null;
}

export type ToLoadThread = { readonly kind: 'begin'; readonly startUnixMs: number } | { readonly kind: 'stop' };

export type FromLoadThread =
  | { readonly kind: 'ready'; readonly requestCount: number }
  | { readonly kind: 'progress'; readonly counts: LoadCounts }
  | {
      readonly kind: 'done';
      readonly columns: LoadColumns;
      /** Of the event loop, over the run. */
      readonly busyFraction: number;
      /** The process that it ran in, and the CPU time that all of that process took over the run. */
      readonly pid: number;
      readonly cpuMs: number;
    };

/** To whoever runs the load. */
export interface SharePort {
  tell(message: FromLoadThread): void;
  onTold(hear: (message: ToLoadThread) => void): void;
}

const PROGRESS_MS = 200;

/** Says that it is ready, and runs when it is told to. */
export function runShare(share: LoadShare, port: SharePort): void {
  const { file, seed } = share;
  const isOurs = (client: number): boolean => client % share.threads === share.thread;
  const plan = planLoad(setUp(file.scenario, file.name, file.folder), seed, isOurs);
  const interruption = new AbortController();

  const run = async (startUnixMs: number): Promise<void> => {
    // Threads have clocks with origins of their own; what they have in common is the wall clock, as it is now.
    const startAtMs = performance.now() + startUnixMs - Date.now();
    const nowMs = (): number => performance.now() - startAtMs;
    const ledger = new LoadLedger();
    const transport = openTransport(share.target, nowMs, share.clientAddresses);
    const way = share.clientAddresses === null ? { plan, transport } : overShapedLinks(plan, transport);
    const loopBefore = performance.eventLoopUtilization();
    const cpuBefore = process.cpuUsage();
    const progress = setInterval(() => port.tell({ kind: 'progress', counts: ledger.counts }), PROGRESS_MS);
    const columns = await runLoad({ ...way, nowMs, signal: interruption.signal }, ledger);
    clearInterval(progress);
    const busyFraction = performance.eventLoopUtilization(loopBefore).utilization;
    const { user, system } = process.cpuUsage(cpuBefore);
    port.tell({ kind: 'done', columns, busyFraction, pid: process.pid, cpuMs: (user + system) / 1000 });
  };

  port.onTold((message) => {
    if (message.kind === 'stop') interruption.abort();
    else void run(message.startUnixMs);
  });
  port.tell({ kind: 'ready', requestCount: plan.requestCount });
}
