import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { http } from '../system/server/clients.js';
import { eventually, groupsOf, TestBench, type RunningServer } from '../system/server/harness.js';
import type { Interval } from './ledger.js';
import { writeModels } from './questions.js';

/* Where it all happens: a real server with its models, on a disk of its own, which faults may kill and start again. */

/** Room for the models, their profiles, the event log and what workers keep while they start. */
const DISK_MIB = 128;
const READY_TIMEOUT_MS = 120_000;

export interface SiteOptions {
  /** Of the CPU groups. */
  readonly group: string;
  readonly flags: readonly string[];
}

export class Site {
  /** When the router was not there, or could not answer; as they happened. */
  readonly routerAway: Interval[] = [];
  readonly group: string;
  readonly #bench = new TestBench();
  readonly #flags: readonly string[];
  readonly #disk: string;
  readonly hasOwnDisk: boolean;
  #server: RunningServer | null = null;
  #awayCount = 0;
  #isRestarting = false;
  #strikeCount = 0;
  readonly #started: RunningServer[] = [];

  constructor({ group, flags }: SiteOptions) {
    this.group = group;
    this.#flags = flags;
    this.#disk = this.#bench.path('disk');
    mkdirSync(this.#disk);
    this.hasOwnDisk = mount(this.#disk);
    writeModels(this.path('models'));
    mkdirSync(join(this.#disk, 'tmp'));
  }

  get server(): RunningServer {
    if (this.#server === null) throw new Error('the server is not started yet');
    return this.#server;
  }

  /** A file on the server's disk. */
  path(name: string): string {
    return join(this.#disk, name);
  }

  /** Of the server that was started last, also while it starts. */
  get log(): string {
    return this.#started.at(-1)?.log ?? '';
  }

  /** The errors that its servers logged, a line each. */
  get errors(): string {
    return this.#started.flatMap(({ log }) => log.match(/^\S+ error .*/gm) ?? []).join('\n');
  }

  /** Directories of the CPU groups that hold quotas now. */
  groups(): string[] {
    return groupsOf(this.group).flatMap((path) => [path, ...subfoldersOf(path)]);
  }

  /** On the ports it had before, if it had any. */
  async start(): Promise<void> {
    const before = this.#server;
    const ports =
      before === null
        ? []
        : [
            ...['--port', String(before.port)],
            ...['--grpc-port', before.grpc.split(':')[1]!],
            ...['--metrics-port', new URL(before.metrics).port],
          ];
    const flags = ['--group', this.group, '--event-log', this.path('events.jsonl'), ...ports, ...this.#flags];
    const server = this.#bench.start(this.path('models'), flags, { TMPDIR: this.path('tmp') });
    this.#started.push(server);
    await server.ready();
    this.#server = server;
  }

  /** One kind of hurt at a time while the router is started again: a start that fails is the operator's to repeat. */
  async strike(act: () => Promise<void> | void): Promise<boolean> {
    if (this.#isRestarting) return false;
    this.#strikeCount += 1;
    try {
      await act();
      return true;
    } finally {
      this.#strikeCount -= 1;
    }
  }

  /** As `kill -9` and a service manager do; once what strikes it now is over. */
  async restart(): Promise<void> {
    this.#isRestarting = true;
    try {
      while (this.#strikeCount > 0) await delay(10);
      await this.during(async () => {
        this.server.signal('SIGKILL');
        await this.server.exited;
        await this.start();
      });
    } finally {
      this.#isRestarting = false;
    }
  }

  /** Does something that keeps the router from answering, perhaps while something else does too, until it answers again. */
  async during(act: () => Promise<void>): Promise<void> {
    if (this.#awayCount++ === 0) {
      this.routerAway.push({ fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY });
    }
    try {
      await act();
      await this.#answer();
    } finally {
      if (--this.#awayCount === 0) {
        const { fromMs } = this.routerAway.pop()!;
        this.routerAway.push({ fromMs, untilMs: performance.now() });
      }
    }
  }

  async #answer(): Promise<void> {
    const isLive = (): Promise<boolean> =>
      http(`${this.server.rest}/v2/health/live`).then(
        ({ status }) => status === 200,
        () => false,
      );
    await eventually(
      'an answer of the router',
      async () => this.server.hasExited || (await isLive()),
      READY_TIMEOUT_MS,
    );
  }

  /** Null when it serves all its models again; else what it does instead. */
  async obstacleToServing(): Promise<string | null> {
    if (this.server.hasExited) return `the router is gone: ${this.server.log.slice(-500)}`;
    const isReady = async (): Promise<boolean> => {
      const answer = await http(`${this.server.rest}/v2/health/ready`);
      return answer.status === 200;
    };
    try {
      await eventually('readiness', isReady, READY_TIMEOUT_MS);
      return null;
    } catch (error) {
      return `not ready again: ${(error as Error).message}; its log ends: ${this.server.log.slice(-300)}`;
    }
  }

  async close(): Promise<void> {
    try {
      await this.#server?.stop();
      const left = groupsOf(this.group);
      if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
    } finally {
      if (this.hasOwnDisk) spawnSync('umount', ['-l', this.#disk]);
      await this.#bench.close();
    }
  }
}

function mount(folder: string): boolean {
  const arguments_ = ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'sponge-faults', folder];
  return process.getuid?.() === 0 && spawnSync('mount', arguments_).status === 0;
}

function subfoldersOf(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(path, name));
}
