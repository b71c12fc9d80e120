import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/*
 * `sponge serve` and `sponge profile` as a user starts them: processes of their own, so that what the kernel counts for
 * them is theirs alone. Each has a channel to us, and ends when it breaks: even after `kill -9` of an experiment nothing stays.
 */

const CLI = fileURLToPath(new URL('../../../bin/sponge.js', import.meta.url));
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
/** Of what a process wrote on stderr, for the message about its failure. */
const KEPT_CHARACTERS = 4000;

export interface ServerProcess {
  readonly restUrl: string;
  readonly grpcUrl: string;
  /** Start of the process → its banner. */
  readonly startMs: number;
  /** The CPU line of the banner. */
  readonly cpuText: string;
  /** Of all models and label sets; 0 where there is no such sample. */
  metrics(): Promise<(name: string) => number>;
  /** Drains and ends it; its event log is complete afterwards. */
  stop(): Promise<void>;
}

/** @param args of `sponge serve`   @throws Error with what it said, when it ends instead of being ready */
export async function startServerProcess(args: readonly string[], signal: AbortSignal): Promise<ServerProcess> {
  const startedAtMs = performance.now();
  const ports = ['--host', '127.0.0.1', '--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  const child = spawn(process.execPath, [CLI, 'serve', ...args, ...ports], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  // Its end, if it ends by itself or with us.
  const abort = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', abort, { once: true });
  const ended = once(child, 'exit').finally(() => signal.removeEventListener('abort', abort));
  const errors = lastOf(child);
  try {
    const banner = await bannerOf(child, ended, errors);
    const startMs = performance.now() - startedAtMs;
    const metricsUrl = find(banner, /^ {2}metrics +(\S+)/m);
    return {
      restUrl: find(banner, /^ {2}REST +(\S+?)\/v2/m),
      grpcUrl: `http://${find(banner, /^ {2}gRPC +(\S+)$/m)}`,
      startMs,
      cpuText: find(banner, /^ {2}CPU +(.+)$/m),
      metrics: async () => {
        const text = await (await fetch(metricsUrl)).text();
        return (name) => sumOfSamples(text, name);
      },
      stop: () => stopProcess(child, ended),
    };
  } catch (error) {
    await stopProcess(child, ended);
    throw error;
  }
}

/** Runs `sponge` to its end. @param onLine each line that it writes on stderr   @throws Error with what it said, when it fails */
export async function runSponge(
  args: readonly string[],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const abort = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', abort, { once: true });
  const errors = lastOf(child);
  child.stderr!.on('data', (chunk: Buffer) => chunk.toString().split('\n').filter(Boolean).forEach(onLine));
  const [code] = (await once(child, 'exit')) as [number | null];
  signal.removeEventListener('abort', abort);
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`sponge ${args[0]!} failed: ${errors()}`);
}

async function bannerOf(child: ChildProcess, ended: Promise<unknown>, errors: () => string): Promise<string> {
  let output = '';
  let timer: NodeJS.Timeout | undefined;
  const ready = new Promise<string>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (/^ {2}planning .*\n/m.test(output)) resolve(output);
    });
  });
  const failed = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`sponge serve was not ready after ${START_TIMEOUT_MS / 1000} s`)),
      START_TIMEOUT_MS,
    );
    void ended.then(() => reject(new Error(`sponge serve ended before it was ready: ${errors()}`)));
  });
  failed.catch(() => undefined);
  return Promise.race([ready, failed]).finally(() => clearTimeout(timer));
}

async function stopProcess(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

function lastOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr!.on('data', (chunk: Buffer) => (text = (text + chunk.toString()).slice(-KEPT_CHARACTERS)));
  return () => text.trim().split('\n').at(-1) ?? '';
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
