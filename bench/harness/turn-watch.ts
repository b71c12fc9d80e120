import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scope } from './bench.js';
import { quantile } from './statistics.js';

/*
 * How long the event loop of another process stands still, and what it did meanwhile: a timer every 10 ms looks how late it is, and at
 * what the kernel counts of its thread (`schedstat`): time on a core, and time in which it could have run and others did. Only the
 * first is the program's own doing. Of everything that was looked at since the last question.
 */

/** Each the one in a thousand of all looks; ms. */
export interface Turns {
  readonly delayMs: number;
  readonly longestMs: number;
  /** On a core, between two looks: at least the longest turn's own. */
  readonly cpuMs: number;
  /** Waiting for one. */
  readonly waitMs: number;
}

export interface TurnWatch {
  /** For the process that is to be watched. */
  readonly nodeFlags: readonly string[];
  ask(pid: number): Promise<Turns>;
}

const LOOK_EVERY_MS = 10;
const ANSWER_TIMEOUT_MS = 10_000;

function watching(path: string): string {
  return `import { openSync, readSync, renameSync, writeFileSync } from "node:fs";
const file = openSync("/proc/self/schedstat", "r");
const bytes = Buffer.alloc(64);
const counted = () => bytes.toString("latin1", 0, readSync(file, bytes, 0, 64, 0)).split(" ", 2).map((ns) => ns / 1e6);
const looks = { wall: [], cpu: [], wait: [] };
let lastMs = performance.now();
let [cpuMs, waitMs] = counted();
setInterval(() => {
  const nowMs = performance.now();
  const [cpu, wait] = counted();
  looks.wall.push(nowMs - lastMs);
  looks.cpu.push(cpu - cpuMs);
  looks.wait.push(wait - waitMs);
  [lastMs, cpuMs, waitMs] = [nowMs, cpu, wait];
}, ${LOOK_EVERY_MS}).unref();
process.on("SIGUSR2", () => {
  writeFileSync(${JSON.stringify(`${path}.part`)}, JSON.stringify(looks));
  renameSync(${JSON.stringify(`${path}.part`)}, ${JSON.stringify(path)});
  looks.wall = []; looks.cpu = []; looks.wait = [];
});`;
}

export function turnWatch(scope: Scope): TurnWatch {
  const path = join(scope.folder(), 'turns.json');
  return {
    nodeFlags: ['--import', `data:text/javascript,${encodeURIComponent(watching(path))}`],
    async ask(pid) {
      process.kill(pid, 'SIGUSR2');
      const untilMs = performance.now() + ANSWER_TIMEOUT_MS;
      while (!existsSync(path)) {
        if (performance.now() > untilMs) throw new Error('the process that is watched does not answer');
        await delay(10);
      }
      const looks = JSON.parse(readFileSync(path, 'utf8')) as Record<'wall' | 'cpu' | 'wait', number[]>;
      rmSync(path);
      const delaysMs = looks.wall.map((wallMs) => Math.max(0, wallMs - LOOK_EVERY_MS));
      return {
        delayMs: quantile(delaysMs, 0.999),
        longestMs: Math.max(0, ...delaysMs),
        cpuMs: quantile(looks.cpu, 0.999),
        waitMs: quantile(looks.wait, 0.999),
      };
    },
  };
}
