import { parentPort, workerData } from 'node:worker_threads';
import { setUp } from '../scenarios/setup.js';
import type { ScenarioFile } from '../simulate.js';
import { GrpcTransport } from './grpc-transport.js';
import { LoadLedger, type LoadColumns, type LoadCounts } from './load-ledger.js';
import { planLoad } from './load-plan.js';
import { runLoad } from './load-run.js';
import { RestTransport } from './rest-transport.js';
import type { LoadTarget } from './target.js';

/* One thread of a load generator: its share of the clients, on an event loop of its own. Each makes the same plan. */

export interface LoadShare {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly target: LoadTarget;
  /** Clients whose number leaves this remainder are this thread's. */
  readonly thread: number;
  readonly threads: number;
}

export type ToLoadThread = { readonly kind: 'begin'; readonly startUnixMs: number } | { readonly kind: 'stop' };

export type FromLoadThread =
  | { readonly kind: 'ready'; readonly requestCount: number }
  | { readonly kind: 'progress'; readonly counts: LoadCounts }
  /** @param busyFraction of the event loop, over the run */
  | { readonly kind: 'done'; readonly columns: LoadColumns; readonly busyFraction: number };

const PROGRESS_MS = 200;

const port = parentPort!;
const { file, seed, target, thread, threads } = workerData as LoadShare;
const tell = (message: FromLoadThread): void => port.postMessage(message);

const plan = planLoad(setUp(file.scenario, file.name, file.folder), seed);
const interruption = new AbortController();

port.on('message', (message: ToLoadThread) => {
  if (message.kind === 'stop') interruption.abort();
  else void run(message.startUnixMs);
});
tell({ kind: 'ready', requestCount: plan.requests.length });

async function run(startUnixMs: number): Promise<void> {
  // Threads have clocks with origins of their own, told apart by wall time.
  const startAtMs = startUnixMs - performance.timeOrigin;
  const nowMs = (): number => performance.now() - startAtMs;
  const ledger = new LoadLedger();
  const transport = target.protocol === 'grpc' ? new GrpcTransport(target, nowMs) : new RestTransport(target, nowMs);
  const loopBefore = performance.eventLoopUtilization();
  const progress = setInterval(() => tell({ kind: 'progress', counts: ledger.counts }), PROGRESS_MS);
  const isOurs = ({ client }: { readonly client: number }): boolean => client % threads === thread;
  const columns = await runLoad({ plan, isOurs, transport, nowMs, signal: interruption.signal }, ledger);
  clearInterval(progress);
  const busyFraction = performance.eventLoopUtilization(loopBefore).utilization;
  tell({ kind: 'done', columns, busyFraction });
  port.close();
}
