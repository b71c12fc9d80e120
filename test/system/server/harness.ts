import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { findCgroupPlaces } from '../../../src/server/scalers/cgroup-paths.js';
import { isAlive } from '../worker-fixture.js';

/*
 * Starts the built command line as a user would, in a child process on free ports, and sees to it that nothing stays:
 * `TestBench.close` fails when a process, a CPU group or a file is left.
 */

const CLI = fileURLToPath(new URL('../../../bin/sponge.js', import.meta.url));
const RESEARCH = fileURLToPath(new URL('../../../research/main.ts', import.meta.url));
/** It is run from other folders, where the name would not be found. */
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
export const REPOSITORY_ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/*
 * After these times something counts as hung. They are no statement about speed: several times what half a core needs that
 * others want too.
 */
/** Loading and profiling. */
const START_TIMEOUT_MS = 240_000;
const END_TIMEOUT_MS = 60_000;
const WAIT_TIMEOUT_MS = 60_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Output extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcessWithoutNullStreams>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** What one test file starts and writes. */
export class TestBench {
  /** Of every server that is not told another: a name that no other test uses. */
  readonly group = `test-${randomBytes(4).toString('hex')}`;
  readonly folder = mkdtempSync(join(tmpdir(), 'sponge-server-test-'));
  /** Of the processes: must be empty in the end. */
  readonly #scratch = join(this.folder, 'tmp');
  readonly #servers: RunningServer[] = [];

  constructor() {
    mkdirSync(this.#scratch);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  file(name: string, content: string | Uint8Array): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** `<name>.onnx`, bare. */
  model(name: string, graph: OnnxGraph): string {
    return this.file(join(name, `${name}.onnx`), graph.toModel());
  }

  /** `<name>/1/model.onnx` for each graph. @returns the repository's path */
  repository(name: string, graphs: Readonly<Record<string, OnnxGraph>>): string {
    for (const [model, graph] of Object.entries(graphs)) {
      this.file(join(name, model, '1', 'model.onnx'), graph.toModel());
    }
    return this.path(name);
  }

  /** Resolves when the banner is complete. @throws Error with what it printed when it ends instead */
  async serve(
    path: string,
    flags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<RunningServer> {
    const server = this.start(path, flags, env);
    await server.ready();
    return server;
  }

  /** The same, while it still starts. `prefix`: a command that runs what follows it, as another user for example. */
  start(
    path: string,
    flags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    prefix: readonly string[] = [],
  ): RunningServer {
    const server = new RunningServer(this.#spawn(['serve', path, ...this.#defaults(flags), ...flags], env, prefix));
    this.#servers.push(server);
    return server;
  }

  /** Runs a command to its end. */
  async run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    timeoutMs = START_TIMEOUT_MS,
  ): Promise<Output> {
    return outputOf(this.#spawn(args, env), timeoutMs);
  }

  /** Runs `npm run research -- …` to its end, on what is built. */
  async research(args: readonly string[]): Promise<Output> {
    return outputOf(this.#spawnNode(['--import', TSX, RESEARCH, ...args], { TSX_DISABLE_CACHE: '1' }));
  }

  /** The same, interrupted as by Ctrl-C as soon as something is the case. */
  async runInterrupted(args: readonly string[], isTime: () => boolean): Promise<Output> {
    const child = this.#spawn(args, {});
    const output = outputOf(child);
    await eventually('the moment to interrupt', isTime);
    child.kill('SIGINT');
    return output;
  }

  /** The same through `prefix`, a command that runs what follows it: as another user, for example. */
  async runAs(prefix: readonly string[], args: readonly string[]): Promise<Output> {
    return outputOf(this.#spawn(args, {}, prefix));
  }

  /** `serve` that is expected to end by itself. */
  async serveFailing(path: string, flags: readonly string[] = []): Promise<Output> {
    return this.run(['serve', path, ...this.#defaults(flags), ...flags]);
  }

  /** Ends everything. @throws Error naming what was left behind */
  async close(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    const left: string[] = [];
    for (const server of this.#servers) {
      for (const pid of [server.pid, ...server.seenWorkers]) if (isAlive(pid)) left.push(`process ${pid}`);
    }
    left.push(...groupsOf(this.group));
    left.push(...readdirSync(this.#scratch).map((name) => join(this.#scratch, name)));
    left.push(...filesBelow(this.folder).filter((path) => path.endsWith('.tmp') || path.includes('unfinished')));
    rmSync(this.folder, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  }

  #defaults(flags: readonly string[]): string[] {
    const ports = { '--port': '0', '--grpc-port': '0', '--metrics-port': '0' };
    // One worker, whatever the machine has and whatever happened, where a test is not about several.
    const defaults = {
      ...{ ...ports, '--group': this.group, '--instances': '1', '--spare-workers': 'never' },
      // In the project that runs some of the files once more (vitest.config.ts).
      ...{ '--io-threads': process.env['TEST_IO_THREADS'] ?? '0' },
    };
    return Object.entries(defaults).flatMap(([flag, value]) => (flags.includes(flag) ? [] : [flag, value]));
  }

  #spawn(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    prefix: readonly string[] = [],
  ): ChildProcessWithoutNullStreams {
    return this.#spawnNode([CLI, ...args], env, prefix);
  }

  #spawnNode(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    prefix: readonly string[] = [],
  ): ChildProcessWithoutNullStreams {
    const [program, ...rest] = [...prefix, process.execPath, ...args];
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SPONGE_')));
    const child = spawn(program!, rest, {
      cwd: this.folder,
      env: { ...inherited, TMPDIR: this.#scratch, NO_COLOR: '1', ...env },
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    return child;
  }
}

async function outputOf(child: ChildProcessWithoutNullStreams, timeoutMs = START_TIMEOUT_MS): Promise<Output> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const exit = await exitOf(child);
  clearTimeout(timer);
  return { ...exit, stdout, stderr };
}

function exitOf(child: ChildProcessWithoutNullStreams): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

export class RunningServer {
  readonly exited: Promise<Exit>;
  readonly seenWorkers = new Set<number>();
  readonly #child: ChildProcessWithoutNullStreams;
  #stdout = '';
  #stderr = '';
  #hasExited = false;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.exited = exitOf(child).then((exit) => {
      this.#hasExited = true;
      return exit;
    });
  }

  async ready(timeoutMs = START_TIMEOUT_MS): Promise<void> {
    await eventually('the banner', () => this.#hasExited || /^ {2}planning .*\n/m.test(this.#stdout), timeoutMs);
    if (this.#hasExited) throw new Error(`the server ended at once: ${this.#stdout}${this.#stderr}`);
    this.workers();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** All it printed: banner and what followed. */
  get banner(): string {
    return this.#stdout;
  }

  get log(): string {
    return this.#stderr;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** `http://127.0.0.1:<port>` */
  get rest(): string {
    return this.#address(/REST +(http:\/\/\S+)\/v2$/m);
  }

  get grpc(): string {
    return this.#address(/gRPC +(\S+)$/m);
  }

  get metrics(): string {
    return this.#address(/metrics +(http:\S+)$/m);
  }

  get port(): number {
    return Number(new URL(this.rest).port);
  }

  /** Directory of the first model's CPU group; null where CPU is not granted by cgroup. */
  get groupDir(): string | null {
    return /cgroup v\d group ([^,\n]+),/.exec(this.#stdout)?.[1] ?? null;
  }

  /** Process ids of the workers now. */
  workers(): number[] {
    const pids = this.#hasExited ? [] : childrenOf(this.pid);
    for (const pid of pids) this.seenWorkers.add(pid);
    return pids;
  }

  /** The one worker of a server of one model. */
  worker(): number {
    const [pid, ...others] = this.workers();
    if (pid === undefined || others.length > 0)
      throw new Error(`expected one worker, found ${this.workers().join(', ')}`);
    return pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.workers();
    this.#child.kill(signal);
  }

  /** Reads no more of what it prints, as `| head` does. */
  closeOutput(): void {
    this.#child.stdout.destroy();
  }

  /** Ends the server in order, and by force when that takes too long. */
  async stop(): Promise<Exit> {
    if (this.#hasExited) return this.exited;
    for (const pid of this.workers()) process.kill(pid, 'SIGCONT');
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  #address(pattern: RegExp): string {
    const address = pattern.exec(this.#stdout)?.[1];
    if (address === undefined) throw new Error(`no ${pattern.source} in the banner:\n${this.#stdout}`);
    return address;
  }
}

/** Asks until it holds. @throws Error naming what was waited for */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = WAIT_TIMEOUT_MS,
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > untilMs) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await delay(5);
  }
}

/**
 * Field 4 of `/proc/<pid>/stat`, behind the name, is the parent. Without a child that is still the parent's copy, between fork and exec: who
 * stops that one stops its parent, which waits for it.
 */
function childrenOf(parent: number): number[] {
  const own = commandOf(parent);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent && commandOf(pid) !== own;
      } catch {
        return false;
      }
    });
}

/** '' of one that is gone. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)));
}

/** CPU groups of that name, in every tree. */
export function groupsOf(groupName: string): string[] {
  const { v1, v2 } = findCgroupPlaces();
  const places = new Set([...(v2 === null ? [] : [v2.own]), ...[...v1.values()].map((place) => place.own)]);
  return [...places]
    .filter((place) => existsSync(place))
    .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
    .filter((path) => path.includes(`/sponge-${groupName}`));
}

/** What the kernel grants now, millicores. */
export function quotaMillicores(groupDir: string): number {
  const v2 = join(groupDir, 'cpu.max');
  if (existsSync(v2)) {
    const [quota, period] = readFileSync(v2, 'utf8').trim().split(' ').map(Number);
    return Math.round((quota! * 1000) / period!);
  }
  const read = (name: string): number => Number(readFileSync(join(groupDir, name), 'utf8'));
  return Math.round((read('cpu.cfs_quota_us') * 1000) / read('cpu.cfs_period_us'));
}
