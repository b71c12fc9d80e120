import type { Worker } from 'node:worker_threads';
import { controlOfNoLog, type LogControl } from '../../src/server/edge/log-settings.js';
import { IoThreads, startIoThread } from '../../src/server/io-threads/io-threads.js';
import type { EdgeLimits, InferenceService } from '../../src/protocol/service.js';
import type { Compat } from '../../src/protocol/status.js';

const HOST = '127.0.0.1';

export interface ThreadsUnderTest {
  readonly host: string;
  readonly restPort: number;
  readonly grpcPort: number;
  readonly threads: IoThreads;
  /** All that were started, in that order. */
  readonly workers: readonly Worker[];
  /** What an operator is told. */
  readonly warnings: readonly string[];
  drain(): void;
  close(): Promise<void>;
}

export interface ThreadsOptions {
  readonly compat?: Compat;
  readonly logControl?: LogControl;
  readonly logger?: { error(details: object, message: string): void };
}

/** Both front ends on threads of their own. */
export async function startThreadsOf(
  count: number,
  service: InferenceService,
  limits: EdgeLimits,
  { compat = 'none', logControl = controlOfNoLog(), logger }: ThreadsOptions = {},
): Promise<ThreadsUnderTest> {
  const workers: Worker[] = [];
  const warnings: string[] = [];
  const threads = await IoThreads.start({
    ...{ count, service, host: HOST, port: 0, grpcPort: 0, limits, compat, logControl },
    jsonHeapBytes: 512 << 20,
    doors: { allowedHosts: [], corsOrigins: [], tokenPath: null },
    tls: null,
    logger: {
      warn: (line) => void warnings.push(line),
      error: (details, message) =>
        logger === undefined ? console.error(message, details) : logger.error(details, message),
    },
    loopDelayMs: () => 0,
    startThread: (options) => {
      const worker = startIoThread(options);
      workers.push(worker);
      return worker;
    },
  });
  const { restPort, grpcPort } = threads;
  const [drain, close] = [() => threads.drain(), () => threads.close()];
  return { host: HOST, restPort, grpcPort, threads, workers, warnings, drain, close };
}

/** Where the project asks for it (vitest.config.ts); null where it does not. */
export async function startThreads(
  service: InferenceService,
  limits: EdgeLimits,
  options: ThreadsOptions,
): Promise<ThreadsUnderTest | null> {
  const count = Number(process.env['TEST_IO_THREADS'] ?? 0);
  return count === 0 ? null : startThreadsOf(count, service, limits, options);
}
