import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { whenReady, type ReadyMessage } from '../../src/server/ready-message.js';
import { sumOfSamples } from './metric-samples.js';

/*
 * `sponge serve` and `sponge profile` as a user starts them: processes of their own, so that what the kernel counts for
 * them is theirs alone. Each has a channel to us, and ends when it breaks: even after `kill -9` of an experiment nothing stays.
 */

const CLI = fileURLToPath(new URL('../../bin/sponge.js', import.meta.url));
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
const METRICS_TIMEOUT_MS = 10_000;
/** Of what a process wrote about its failure. */
const KEPT_CHARACTERS = 16_000;

export interface ServerProcess {
  readonly restUrl: string;
  readonly grpcUrl: string;
  /** Start of the process → its being ready. */
  readonly startMs: number;
  /** Rejects, with what it said, when it ends without being asked to. */
  readonly died: Promise<never>;
  /** Of all models and label sets; 0 where there is no such sample. */
  metrics(): Promise<(name: string) => number>;
  /** Drains and ends it; its event log is complete afterwards. */
  stop(): Promise<void>;
}

/** @param args of `sponge serve`   @throws Error with what it said, when it ends instead of being ready */
export async function startServerProcess(args: readonly string[], signal: AbortSignal): Promise<ServerProcess> {
  signal.throwIfAborted();
  const startedAtMs = performance.now();
  const ports = ['--host', '127.0.0.1', '--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  const child = new Child(['serve', ...args, ...ports]);
  try {
    const { restUrl, grpcAddress, metricsUrl } = await child.ready(signal);
    const startMs = performance.now() - startedAtMs;
    return {
      restUrl,
      grpcUrl: `http://${grpcAddress}`,
      startMs,
      died: child.died,
      metrics: async () => {
        const text = await (await fetch(metricsUrl, { signal: AbortSignal.timeout(METRICS_TIMEOUT_MS) })).text();
        return (name) => sumOfSamples(text, name);
      },
      stop: () => child.stop(),
    };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Runs `sponge` to its end. @param onLine each line that it writes on stderr   @throws Error with what it said, when it fails */
export async function runSponge(
  args: readonly string[],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const child = new Child(args, onLine);
  const abort = (): void => void child.stop();
  signal.addEventListener('abort', abort, { once: true });
  const code = await child.ended;
  signal.removeEventListener('abort', abort);
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`sponge ${args[0]!} failed: ${child.lastLine}`);
}

class Child {
  /** With its exit code; null by a signal. */
  readonly ended: Promise<number | null>;
  readonly died: Promise<never>;
  readonly #process: ChildProcess;
  readonly #ready: Promise<ReadyMessage>;
  #errors = '';
  #isStopped = false;

  constructor(args: readonly string[], onLine: (line: string) => void = () => undefined) {
    // A group of its own: Ctrl-C at the terminal is for us, and how it ends is said once, by us.
    const stdio: StdioOptions = ['ignore', 'ignore', 'pipe', 'ipc'];
    this.#process = spawn(process.execPath, [CLI, ...args], { stdio, detached: true });
    this.#ready = whenReady(this.#process);
    this.#process.stderr!.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-KEPT_CHARACTERS);
      chunk.toString().split('\n').filter(Boolean).forEach(onLine);
    });
    this.ended = once(this.#process, 'exit').then(([code]) => code as number | null);
    this.died = this.ended.then(() => {
      if (this.#isStopped) return new Promise<never>(() => undefined);
      throw new Error(`sponge ${args[0]!} ended by itself: ${this.lastLine}`);
    });
    this.died.catch(() => undefined); // Whoever waits hears of it.
  }

  /** Of what it wrote on stderr. */
  get lastLine(): string {
    return this.#errors.trim().split('\n').at(-1) ?? '';
  }

  async ready(signal: AbortSignal): Promise<ReadyMessage> {
    const given = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const givenUp = once(given, 'abort').then(() => {
      signal.throwIfAborted();
      throw new Error(`sponge serve was not ready after ${START_TIMEOUT_MS / 1000} s`);
    });
    givenUp.catch(() => undefined); // Also when nobody waits for it any more.
    return Promise.race([this.#ready, this.died, givenUp]);
  }

  /** Once: a second signal would end it at once, without its end. */
  async stop(): Promise<void> {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.#process.kill('SIGTERM');
    }
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }
}
