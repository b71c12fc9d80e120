import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/* Programs that a node is made of: their output in a file each, ended in the order opposite to that of their start. */

const READY_TIMEOUT_MS = 180_000;
const END_TIMEOUT_MS = 10_000;

export class Processes {
  readonly #folder: string;
  readonly #started: { readonly name: string; readonly child: ChildProcess }[] = [];

  /** @param folder where `<name>.log` is written */
  constructor(folder: string) {
    this.#folder = folder;
  }

  start(name: string, program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    const log = openSync(join(this.#folder, `${name}.log`), 'a');
    const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
    closeSync(log);
    this.#started.push({ name, child });
  }

  /** @throws Error with the end of its log when one of them has ended, or it is not so in time */
  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + READY_TIMEOUT_MS;
    while (!(await isSo())) {
      const ended = this.#started.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
      if (ended !== undefined) throw new Error(`${ended.name} has ended: ${this.#endOf(ended.name)}`);
      if (performance.now() > untilMs) {
        const logs = this.#started.map(({ name }) => `${name}: ${this.#endOf(name)}`);
        throw new Error(`not after ${READY_TIMEOUT_MS / 1000} s: ${what}\n${logs.join('\n')}`);
      }
      await delay(200);
    }
  }

  async end(): Promise<void> {
    for (const { child } of this.#started.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
      await gone;
      clearTimeout(timer);
    }
  }

  #endOf(name: string): string {
    return readFileSync(join(this.#folder, `${name}.log`), 'utf8')
      .split('\n')
      .slice(-8)
      .join('\n');
  }
}
