import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/*
 * `sponge serve` and `sponge profile` as a user starts them: processes of their own, so that what the kernel counts for
 * them is theirs alone. Each has a channel to us, and ends when it breaks: even after `kill -9` of an experiment nothing stays.
 */

const CLI = fileURLToPath(new URL('../../../bin/sponge.js', import.meta.url));
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
/** At the banner. */
const LOOK_EVERY_MS = 20;
const METRICS_TIMEOUT_MS = 10_000;
/** Of what a process wrote: its banner, or the message about its failure. */
const KEPT_CHARACTERS = 16_000;

export interface ServerProcess {
  readonly restUrl: string;
  readonly grpcUrl: string;
  /** Start of the process → its banner. */
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
    const banner = await child.bannerOf(signal);
    const startMs = performance.now() - startedAtMs;
    const metricsUrl = find(banner, /^ {2}metrics +(\S+)/m);
    return {
      restUrl: find(banner, /^ {2}REST +(\S+?)\/v2/m),
      grpcUrl: `http://${find(banner, /^ {2}gRPC +(\S+)$/m)}`,
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
  #output = '';
  #errors = '';
  #isStopped = false;

  constructor(args: readonly string[], onLine: (line: string) => void = () => undefined) {
    // A group of its own: Ctrl-C at the terminal is for us, and how it ends is said once, by us.
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', 'ipc'];
    this.#process = spawn(process.execPath, [CLI, ...args], { stdio, detached: true });
    this.#process.stdout!.on(
      'data',
      (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-KEPT_CHARACTERS)),
    );
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

  async bannerOf(signal: AbortSignal): Promise<string> {
    const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
    const isReady = (): boolean => /^ {2}planning .*\n/m.test(this.#output);
    while (!isReady()) {
      signal.throwIfAborted();
      if (timeout.aborted) throw new Error(`sponge serve was not ready after ${START_TIMEOUT_MS / 1000} s`);
      await Promise.race([sleep(LOOK_EVERY_MS), this.died]);
    }
    return this.#output;
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

function find(text: string, pattern: RegExp): string {
  const match = pattern.exec(text);
  if (match === null) throw new Error(`the server's banner has no ${pattern.source}:\n${text}`);
  return match[1]!;
}

/** Of the Prometheus text exposition format. */
function sumOfSamples(text: string, name: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
