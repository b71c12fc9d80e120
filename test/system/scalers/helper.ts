import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { createScaler } from '../../../src/server/scalers/detect.js';
import type { JoinInstruction } from '../../../src/server/scalers/join.js';
import { joinGroup } from '../../../src/server/scalers/join.js';
import type { ScalerKind } from '../../../src/server/scalers/scaler-handle.js';

/*
 * The processes of the scaler suite, one program with three uses; each prints one JSON line when it is ready.
 *   burn <join> <threads> [stay]  a stand-in for a worker: the main thread answers `ping`, an inner thread joins the group
 *                                 and then starts `threads − 1` more, all of which burn CPU. Ends with its stdin,
 *                                 unless it is to stay.
 *   own <kind> <group>            a router that opens the group and starts a burner that will not leave.
 *   open <kind> <group>           a router that opens the group, tells what it got, and ends.
 */

export interface BurnerReport {
  readonly pid: number;
  readonly tid: number;
  /** `/proc/thread-self/cgroup` of the main thread, and of a thread that the inner one started. */
  readonly mainCgroup: string;
  readonly innerCgroup: string;
}

interface ThreadRole {
  readonly join: JoinInstruction | null;
  readonly threadCount: number;
}

const ownCgroup = (): string => readFileSync('/proc/thread-self/cgroup', 'utf8');

function burnForever(): never {
  for (;;) Math.sqrt(2);
}

function runThread({ join, threadCount }: ThreadRole): void {
  const joined = join === null ? null : joinGroup(join);
  if (threadCount === 1) {
    parentPort!.postMessage({ tid: joined?.tid, innerCgroup: ownCgroup() });
    burnForever();
  }
  const next = new Worker(new URL(import.meta.url), { workerData: { join: null, threadCount: threadCount - 1 } });
  next.on('message', (report: object) => {
    parentPort!.postMessage({ ...report, tid: joined?.tid });
    setImmediate(burnForever);
  });
}

function burn(join: JoinInstruction, threadCount: number, isStaying: boolean): void {
  const inner = new Worker(new URL(import.meta.url), { workerData: { join, threadCount } });
  inner.on('message', ({ tid, innerCgroup }: { tid: number; innerCgroup: string }) => {
    const report: BurnerReport = { pid: process.pid, tid, mainCgroup: ownCgroup(), innerCgroup };
    console.log(JSON.stringify(report));
  });
  if (isStaying) return;
  createInterface(process.stdin)
    .on('line', (line) => console.log(`${line} ${process.pid}`))
    .on('close', () => process.exit());
}

async function own(kind: ScalerKind, groupName: string): Promise<void> {
  const { join } = await createScaler({ kind, groupName, onWarning: console.error });
  const args = [...process.execArgv, process.argv[1]!, 'burn', JSON.stringify(join), '1', 'stay'];
  spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  setInterval(() => undefined, 1000);
}

async function openOnly(kind: ScalerKind | 'auto', groupName: string): Promise<void> {
  const handle = await createScaler({ kind, groupName, onWarning: console.error });
  console.log(JSON.stringify({ kind: handle.scaler.kind, passedOver: handle.passedOver }));
  await handle.close();
}

async function main([use, first, second, third]: string[]): Promise<void> {
  if (use === 'burn') burn(JSON.parse(first!) as JoinInstruction, Number(second), third === 'stay');
  if (use === 'own') await own(first as ScalerKind, second!);
  if (use === 'open') await openOnly(first as ScalerKind | 'auto', second!);
}

if (isMainThread) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error((error as Error).message);
    process.exit(1);
  });
} else {
  runThread(workerData as ThreadRole);
}
