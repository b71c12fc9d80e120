import { randomInt } from 'node:crypto';
import type { RecordableHistogram } from 'node:perf_hooks';
import { MessageChannel, type MessagePort, type Worker, type WorkerOptions } from 'node:worker_threads';
import type { DoorSettings } from '../doors/open-door.js';
import { LOG_LEVELS, type LogControl, type LogLevel } from '../edge/log-settings.js';
import { LIMIT_USES, type LimitUse } from '../edge/shared-limit.js';
import type { Protocol } from '../edge/intake.js';
import { openListeningSocket, type ListeningSocket } from '../listening-socket.js';
import { LoopDelays } from '../loop-delays.js';
import { startModuleThread } from '../../threads/module-thread.js';
import type { TlsFiles } from '../tls/certificate-files.js';
import type { EdgeLimits, InferenceService } from '../../protocol/service.js';
import type { Compat, EdgeCause } from '../../protocol/status.js';
import { clockOriginNs } from './common-clock.js';
import type { IoThreadMessage, IoThreadTask } from './io-thread.js';
import { createRefusalMemory, RefusalCounts } from './refusal-counts.js';
import type { ServiceTraits } from './remote-service.js';
import { SharedWords } from './shared-words.js';
import { standingOf, takeSnapshot } from './snapshot.js';
import { ThreadCalls } from './thread-calls.js';
import { clearCells, createCells, type SharedCells } from './thread-limit.js';
import type { Control, Snapshot } from './wire.js';

/*
 * The front ends on threads of their own (`--io-threads`), while one thread has the queue, the plan and the workers. Each accepts from the
 * same two sockets. One that ends takes its connections along, and another one takes its place; the calls that it had leave the queue.
 */

/** How often models are looked at for what changes by itself, as the health of their workers, and event loops for how late they are. */
const LOOK_EVERY_MS = 100;
/** Until a thread that ended is replaced; twice as long each time that one has not lived for as long as the longest, up to that. */
const REPLACED_AFTER_MS = 100;
const MOST_REPLACED_AFTER_MS = 5000;
/** A thread of Node with its own heap, for JSON. */
const LEAST_JSON_HEAP_BYTES = 64 * 2 ** 20;

export interface IoThreadsOptions {
  /** At least 1. */
  readonly count: number;
  readonly service: InferenceService;
  readonly host: string;
  /** 0 for any free port; so for the other. */
  readonly port: number;
  readonly grpcPort: number;
  /** Of all threads together. */
  readonly limits: EdgeLimits;
  readonly jsonHeapBytes: number;
  readonly compat: Compat;
  readonly doors: DoorSettings;
  readonly tls: TlsFiles | null;
  readonly logControl: LogControl;
  readonly logger: IoThreadsLogger;
  /** Of this thread, of late. */
  readonly loopDelayMs: () => number;
  /** The real one, but in tests. */
  readonly startThread?: (options: WorkerOptions) => Worker;
}

/** Exported for tests, which count them. */
export const startIoThread = (options: WorkerOptions): Worker =>
  startModuleThread(import.meta.url, './io-thread.js', options);

export interface IoThreadsLogger {
  warn(line: string): void;
  error(details: object, message: string): void;
}

interface Running {
  readonly index: number;
  readonly worker: Worker;
  readonly statePort: MessagePort;
  readonly calls: ThreadCalls;
  readonly startedAtMs: number;
  loopDelays: LoopDelays | null;
}

export class IoThreads {
  readonly #options: IoThreadsOptions;
  readonly #rest: ListeningSocket;
  readonly #grpc: ListeningSocket;
  readonly #words: SharedWords;
  readonly #refusalMemory = createRefusalMemory();
  readonly #refusals = new RefusalCounts(this.#refusalMemory);
  readonly #cells: Readonly<Record<LimitUse, SharedCells>>;
  readonly #originNs = clockOriginNs();
  readonly #running = new Map<number, Running>();
  #snapshot: Snapshot;
  #standing: string;
  #lookTimer: NodeJS.Timeout;
  #replacedAfterMs = REPLACED_AFTER_MS;
  readonly #replacing = new Set<NodeJS.Timeout>();
  #hasStarted = false;
  #isDraining = false;
  #isClosing = false;
  #onEnded: () => void = () => undefined;

  /** @throws Error of one line, with the remedy, where a port cannot be had or a thread cannot be started */
  static async start(options: IoThreadsOptions): Promise<IoThreads> {
    const { host, port, grpcPort } = options;
    const rest = await openListeningSocket({ host, port, isOnAll: true }, '--port');
    const grpc = await openListeningSocket({ host, port: grpcPort, isOnAll: false }, '--grpc-port').catch(
      (error: unknown) => {
        rest.close();
        throw error;
      },
    );
    const threads = new IoThreads(options, rest, grpc);
    try {
      await Promise.all(Array.from({ length: options.count }, (_, index) => threads.#start(index)));
      threads.#hasStarted = true;
    } catch (error) {
      await threads.close();
      throw error;
    }
    return threads;
  }

  private constructor(options: IoThreadsOptions, rest: ListeningSocket, grpc: ListeningSocket) {
    this.#options = options;
    this.#rest = rest;
    this.#grpc = grpc;
    this.#words = SharedWords.create(options.count);
    const { logControl, service } = options;
    this.#words.logLevel = LOG_LEVELS.indexOf(logControl.level());
    const seed = randomInt(2 ** 31);
    this.#cells = Object.fromEntries(LIMIT_USES.map((use) => [use, createCells(options.count, seed)])) as Record<
      LimitUse,
      SharedCells
    >;
    this.#snapshot = takeSnapshot(service, 0);
    this.#standing = standingOf(service);
    service.watchModels?.(() => this.#tellModels());
    this.#lookTimer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  get restPort(): number {
    return this.#rest.port;
  }

  get grpcPort(): number {
    return this.#grpc.port;
  }

  /** How late event loops have been of late, this thread's and theirs: the latest, ms. */
  get longestLoopDelayMs(): number {
    return this.#words.longestLoopDelayMs;
  }

  /** By thread: what their event loops were late by since the last look, s, in the order of `DELAY_QUANTILES`. */
  readLoopDelays(): readonly (readonly number[])[] {
    return [...this.#running.values()]
      .sort((a, b) => a.index - b.index)
      .map(({ loopDelays }) => loopDelays?.sinceLast() ?? []);
  }

  /** What threads have refused since the last time. */
  collectRefusals(tell: (protocol: Protocol, cause: EdgeCause, count: number) => void): void {
    this.#refusals.collect(tell);
  }

  /** From now on every answer is the last one of its connection. */
  drain(): void {
    this.#isDraining = true;
    for (const running of this.#running.values()) control(running, 'drain');
  }

  /** Stops accepting, and resolves when every call in progress has been answered. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    clearInterval(this.#lookTimer);
    for (const timer of this.#replacing) clearTimeout(timer);
    // One that is still being started has not duplicated them yet, and their numbers may be somebody else's once they are closed.
    const isOneStarting = [...this.#running.values()].some(({ loopDelays }) => loopDelays === null);
    if (!isOneStarting) this.#stopListening();
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnded = resolve;
        for (const running of this.#running.values()) control(running, 'close');
      });
    }
    if (isOneStarting) this.#stopListening();
  }

  #stopListening(): void {
    this.#rest.close();
    this.#grpc.close();
  }

  /** Resolves when it accepts. */
  #start(index: number): Promise<void> {
    const { service, host, limits, compat, doors, tls, count } = this.#options;
    const calls = new MessageChannel();
    const state = new MessageChannel();
    const task: IoThreadTask = {
      thread: index,
      port: calls.port2,
      statePort: state.port2,
      traits: traitsOf(service),
      snapshot: this.#snapshot,
      words: this.#words.memory,
      refusals: this.#refusalMemory,
      cells: this.#cells,
      clockOriginNs: this.#originNs,
      host,
      rest: { port: this.#rest.port, fds: this.#rest.fds },
      grpc: { port: this.#grpc.port, fds: this.#grpc.fds },
      limits,
      jsonHeapBytes: Math.max(LEAST_JSON_HEAP_BYTES, Math.floor(this.#options.jsonHeapBytes / count)),
      compat,
      doors,
      tls,
    };
    const startThread = this.#options.startThread ?? startIoThread;
    const worker = startThread({ workerData: task, transferList: [calls.port2, state.port2] });
    const running: Running = {
      index,
      worker,
      statePort: state.port1,
      calls: this.#callsOn(calls.port1),
      startedAtMs: performance.now(),
      loopDelays: null,
    };
    this.#running.set(index, running);
    // Heard when it accepts.
    if (this.#isDraining) control(running, 'drain');
    return new Promise((resolve, reject) => {
      let cause: Error | null = null;
      worker.on('message', (message: IoThreadMessage) => {
        if (message.kind === 'accepting') {
          running.loopDelays = new LoopDelays(message.loopDelays as RecordableHistogram);
          resolve();
        } else if (message.kind === 'failed') {
          cause = new Error(message.reason);
          void worker.terminate();
        } else void worker.terminate();
      });
      worker.on('error', (error: unknown) => (cause = error instanceof Error ? error : new Error(String(error))));
      worker.on('exit', () => {
        this.#ended(running, cause);
        reject(cause ?? new Error('an io thread ended before it accepted anything'));
      });
    });
  }

  #callsOn(port: MessagePort): ThreadCalls {
    const { service, count, logger, logControl } = this.#options;
    return new ThreadCalls({
      service,
      port,
      threadCount: count,
      snapshotVersion: () => this.#snapshot.version,
      onUnforeseen: (error) => logger.error({ err: error }, 'request failed'),
      onLog: (details, message) => logger.error(details, message),
      onLogLevel: (level) => logControl.setLevel(level as LogLevel),
    });
  }

  #ended(running: Running, cause: Error | null): void {
    const { index } = running;
    this.#running.delete(index);
    running.statePort.close();
    const lostCount = running.calls.callCount;
    running.calls.close();
    for (const cells of Object.values(this.#cells)) clearCells(cells, index);
    this.#words.tellLoopDelay(index, 0);
    if (this.#isClosing) {
      if (this.#running.size === 0) this.#onEnded();
      return;
    }
    // Whoever starts all is told why one cannot be.
    if (!this.#hasStarted) return;
    const reason = (cause?.message ?? 'nobody knows why').split('\n', 1)[0]!;
    this.#options.logger.warn(
      `io thread ${index} ended, with ${lostCount} calls: ${reason}; another one takes its place`,
    );
    this.#replaceLater(running);
  }

  #replaceLater({ index, startedAtMs }: Running): void {
    const hasLived = performance.now() - startedAtMs >= MOST_REPLACED_AFTER_MS;
    this.#replacedAfterMs = hasLived ? REPLACED_AFTER_MS : this.#replacedAfterMs;
    const timer = setTimeout(() => {
      this.#replacing.delete(timer);
      // One that cannot be started has ended as well, and is replaced as such.
      this.#start(index).catch(() => undefined);
    }, this.#replacedAfterMs);
    this.#replacing.add(timer);
    this.#replacedAfterMs = Math.min(MOST_REPLACED_AFTER_MS, 2 * this.#replacedAfterMs);
  }

  #look(): void {
    this.#words.tellLoopDelay(-1, this.#options.loopDelayMs());
    // May have been set here, too.
    this.#words.logLevel = LOG_LEVELS.indexOf(this.#options.logControl.level());
    if (standingOf(this.#options.service) !== this.#standing) this.#tellModels();
  }

  /** Sent first, and counted then: who sees the count has it, or finds it in its port. */
  #tellModels(): void {
    const { service } = this.#options;
    this.#snapshot = takeSnapshot(service, this.#snapshot.version + 1);
    this.#standing = standingOf(service);
    for (const { statePort } of this.#running.values()) statePort.postMessage(this.#snapshot);
    this.#words.snapshotVersion = this.#snapshot.version;
  }
}

function control({ worker }: Running, word: Control): void {
  worker.postMessage(word);
}

function traitsOf(service: InferenceService): ServiceTraits {
  const { serverName, serverVersion, repository, reports } = service;
  return {
    serverName,
    serverVersion,
    repository: repository === undefined ? null : { isOpenToClients: repository.isOpenToClients },
    hasReports: reports !== undefined,
    hasPlaces: service.placeFor !== undefined,
    hasTraces: service.traces !== undefined,
  };
}
