import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { openDoor } from '../doors/open-door.js';
import type { DoorSettings } from '../doors/open-door.js';
import { Arrivals } from '../edge/arrivals.js';
import { startGrpcServer } from '../edge/grpc/server.js';
import { Intake } from '../edge/intake.js';
import { LOG_LEVELS, type LogControl } from '../edge/log-settings.js';
import { ReceiveBudget } from '../edge/receive-budget.js';
import { startRestServer } from '../edge/rest/server.js';
import type { LimitUse, MakeLimit } from '../edge/shared-limit.js';
import { EventLoopWatch } from '../event-loop-watch.js';
import { ServerPressure } from '../pressure.js';
import { findMemoryRoom } from '../served/memory.js';
import { SystemClock } from '../system-clock.js';
import type { TlsFiles } from '../tls/certificate-files.js';
import { ServerTls } from '../tls/server-tls.js';
import type { EdgeLimits } from '../../protocol/service.js';
import type { Compat } from '../../protocol/status.js';
import { clockOf } from './common-clock.js';
import { RefusalCounts, type RefusalMemory } from './refusal-counts.js';
import { RemoteService, type ServiceTraits } from './remote-service.js';
import { SharedWords } from './shared-words.js';
import { ThreadLimit, type SharedCells } from './thread-limit.js';
import type { Control, Snapshot } from './wire.js';

/*
 * A thread that accepts, reads, checks and writes: both front ends as they are without threads, over a service that is elsewhere. What a
 * stranger may hold is counted with what he holds at the other threads.
 */

/** What the thread is started with. */
export interface IoThreadTask {
  readonly thread: number;
  readonly port: MessagePort;
  readonly statePort: MessagePort;
  readonly traits: ServiceTraits;
  readonly snapshot: Snapshot;
  readonly words: SharedArrayBuffer;
  readonly refusals: RefusalMemory;
  readonly cells: Readonly<Record<LimitUse, SharedCells>>;
  /** Of the planning thread. */
  readonly clockOriginNs: bigint;
  readonly host: string;
  /** To be duplicated. */
  readonly rest: { readonly port: number; readonly fds: readonly number[] };
  readonly grpc: { readonly port: number; readonly fds: readonly number[] };
  readonly limits: EdgeLimits;
  readonly jsonHeapBytes: number;
  readonly compat: Compat;
  readonly doors: DoorSettings;
  readonly tls: TlsFiles | null;
}

/** What it says: first that it accepts, last that it has ended by itself. */
export type IoThreadMessage =
  | { readonly kind: 'accepting'; readonly loopDelays: unknown }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'closed' };

const TELL_DELAY_MS = 100;
/** For streams over gRPC; as without threads. */
const GRPC_GRACE_MS = 1000;
/** In so many bytes the others are told of what is on its way in. */
const RECEIPT_UNIT_BYTES = 1024;

const ignore = (): void => undefined;

async function run(task: IoThreadTask): Promise<void> {
  const { thread, host, limits, compat } = task;
  const nowMs = clockOf(task.clockOriginNs);
  const words = new SharedWords(task.words);
  const loop = new EventLoopWatch(new SystemClock({ keepsProcessAlive: false, readNowMs: nowMs }));
  const tellDelay = setInterval(() => words.tellLoopDelay(thread, loop.meanDelayMs), TELL_DELAY_MS).unref();
  const makeLimit: MakeLimit = (use, most, clientFraction) =>
    new ThreadLimit(task.cells[use], thread, {
      ...{ most, clientFraction },
      unit: use === 'receipt' ? RECEIPT_UNIT_BYTES : 1,
    });
  const clientFraction = limits.clientFraction ?? 1;
  const receiveBudget = new ReceiveBudget(
    limits.maxBytesInReceipt,
    clientFraction,
    makeLimit('receipt', limits.maxBytesInReceipt, clientFraction),
  );
  const refusals = new RefusalCounts(task.refusals);
  // Calls need this thread and the planning one: whichever is later.
  const loopDelayMs = (): number => Math.max(loop.meanDelayMs, words.plannerLoopDelayMs);
  const pressure = new ServerPressure({ nowMs, loopDelayMs, memory: findMemoryRoom() });
  const intake = new Intake({
    ...{ maxCalls: limits.maxConcurrentCalls, clientFraction, compat, makeLimit },
    pressure: () => pressure.now(),
    onRefused: (protocol, cause) => refusals.count(protocol, cause),
  });
  const service = new RemoteService({ ...task, words, receiveBudget, nowMs });
  const { outbox } = service;
  const logControl: LogControl = {
    level: () => LOG_LEVELS[words.logLevel] ?? 'info',
    setLevel: (level) => {
      words.logLevel = LOG_LEVELS.indexOf(level);
      outbox.push(['log-level', level]);
    },
  };
  const logger = {
    error: (details: object, message: string) => outbox.push(['log', cloneable(details), message]),
  };
  // What there is to say of their files the planning thread says, which reads them too.
  const door = await openDoor(host, task.doors, ignore);
  const tls =
    task.tls === null ? undefined : await ServerTls.open({ files: task.tls, logger: { info: ignore, warn: ignore } });
  const edge = {
    ...{ service, host, limits, receiveBudget, intake, compat, door, logger, logControl, tls },
    arrivals: new Arrivals(nowMs, loop),
  };
  const rest = await startRestServer({ ...edge, ...task.rest, jsonHeapBytes: task.jsonHeapBytes });
  const grpc = await startGrpcServer({ ...edge, ...task.grpc });
  let isClosing = false;
  const close = async (): Promise<void> => {
    await grpc.close(GRPC_GRACE_MS);
    await rest.close();
    door.close();
    tls?.close();
    clearInterval(tellDelay);
    loop.close();
    outbox.flush();
    say({ kind: 'closed' });
  };
  parentPort!.on('message', (control: Control) => {
    if (control === 'drain') rest.drain();
    else if (!isClosing) {
      isClosing = true;
      void close();
    }
  });
  say({ kind: 'accepting', loopDelays: loop.delays.shared });
}

function say(message: IoThreadMessage): void {
  parentPort!.postMessage(message);
}

/** Errors are; what else a library hangs on them may not be. */
function cloneable(details: object): object {
  const entries = Object.entries(details).map(([name, value]: [string, unknown]): [string, unknown] => {
    if (!(value instanceof Error)) return [name, String(value)];
    const plain = new Error(value.message);
    plain.stack = value.stack ?? '';
    return [name, plain];
  });
  return Object.fromEntries(entries);
}

run(workerData as IoThreadTask).catch((error: unknown) => {
  say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
});
