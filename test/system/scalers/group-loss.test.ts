import { readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { createScaler, type DetectedScaler } from '../../../src/server/scalers/detect.js';
import { filesToJoin } from '../../../src/server/scalers/join.js';
import type { ProcessPool } from '../../../src/server/workers/process-pool.js';
import type { ResizeResult } from '../../../src/scheduler/controlplane/scaler.js';
import { eventsOf, float32, floatsOf, run, WorkerBench } from '../worker-fixture.js';

const bench = new WorkerBench();
const x = float32('x', [1, 4], [1, 2, 3, 4]);
const probe = await createScaler({ kind: 'auto', groupName: `confine-probe-${process.pid}`, onWarning: console.warn });
await probe.close();
const { kind } = probe.scaler;
const isGrouped = kind === 'cgroup-v1' || kind === 'cgroup-v2';
if (!isGrouped) console.warn(`SKIPPED the loss of CPU groups: ${probe.passedOver.join('; ')}`);
afterAll(() => bench.close());

interface Served {
  readonly scaling: DetectedScaler;
  readonly pool: ProcessPool;
  readonly warnings: string[];
  readonly log: string[];
}

let groupCount = 0;

async function serve(): Promise<Served> {
  const warnings: string[] = [];
  const log: string[] = [];
  const groupName = `confine-loss-${process.pid}-${++groupCount}`;
  const scaling = await createScaler({ kind: 'auto', groupName, onWarning: (line) => warnings.push(line) });
  const pool = await bench.pool(bench.modelFile(identity('FP32')), {
    joins: [scaling.join],
    rejoin: () => [scaling.rejoin()],
    onSpawn: (pid, [tid]) => scaling.attachProcess(pid, tid!),
    onLog: (line) => log.push(line),
  });
  return { scaling, pool, warnings, log };
}

async function stop({ pool, scaling }: Served): Promise<void> {
  await pool.close();
  await scaling.close();
}

const members = (file: string): number[] => readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number);

/** As somebody does who does not know what the group is for. */
function moveAllOut({ join: instruction }: DetectedScaler): void {
  for (const file of filesToJoin(instruction)) {
    const outside = join(dirname(dirname(file)), file.split('/').at(-1)!);
    for (const tid of members(file)) writeFileSync(outside, String(tid));
  }
}

function removeGroup(scaling: DetectedScaler): void {
  moveAllOut(scaling);
  for (const file of filesToJoin(scaling.join)) rmdirSync(dirname(file));
}

const resize = ({ scaler }: DetectedScaler, cpuMillicores: number): Promise<ResizeResult> =>
  new Promise((resolve) => scaler.resize(cpuMillicores, resolve));

/** As much, or what there is on a machine that has less. */
const upTo = (millicores: number, { scaler }: DetectedScaler): number =>
  Math.min(millicores, scaler.limits.maxMillicores);

async function answers(pool: ProcessPool): Promise<void> {
  const [outputs] = await run(pool, [[x]]);
  expect(floatsOf(outputs![0]!)).toEqual([1, 2, 3, 4]);
}

async function loseWorker(pool: ProcessPool): Promise<void> {
  const ready = eventsOf(pool).next('ready');
  process.kill(pool.pid, 'SIGKILL');
  await ready;
}

describe.runIf(isGrouped)('a CPU group that somebody', () => {
  it('removed under a running worker is made again by the next resize, with all threads that were in it', async () => {
    const served = await serve();
    const { scaling, pool, warnings } = served;
    const files = filesToJoin(scaling.join);
    scaling.scaler.readCounters();
    const before = members(files[0]!);
    expect(before).toContain(pool.inferenceTids[0]);
    removeGroup(scaling);
    const cpuMillicores = upTo(500, scaling);
    expect(await resize(scaling, cpuMillicores)).toMatchObject({ kind: 'applied', cpuMillicores });
    for (const file of files) expect(members(file)).toEqual(before);
    expect(warnings).toEqual([expect.stringMatching(/^somebody removed the CPU group .*: it was made again$/)]);
    await answers(pool);
    await stop(served);
  });

  it('emptied has its threads again within a second in which its counters are read, and they never decrease', async () => {
    const served = await serve();
    const { scaling, pool, warnings } = served;
    const used = scaling.scaler.readCounters()!.usedSeconds;
    const before = members(filesToJoin(scaling.join)[0]!);
    moveAllOut(scaling);
    // They are looked for once a second.
    const areBack = (): boolean => {
      expect(scaling.scaler.readCounters()!.usedSeconds).toBeGreaterThanOrEqual(used);
      return filesToJoin(scaling.join).every((file) => members(file).join() === before.join());
    };
    await expect.poll(areBack).toBe(true);
    expect(warnings).toEqual([expect.stringMatching(/^somebody moved threads out of the CPU group/)]);
    removeGroup(scaling);
    await answers(pool);
    expect(scaling.scaler.readCounters()!.usedSeconds).toBeGreaterThanOrEqual(used);
    for (const file of filesToJoin(scaling.join)) expect(members(file)).toEqual(before);
    await stop(served);
  });

  it('removed before the worker was lost is there again for the next worker, with the allocation that was in force', async () => {
    const served = await serve();
    const { scaling, pool, log } = served;
    const cpuMillicores = upTo(700, scaling);
    await resize(scaling, cpuMillicores);
    removeGroup(scaling);
    await loseWorker(pool);
    for (const file of filesToJoin(scaling.join)) expect(members(file)).toContain(pool.inferenceTids[0]);
    expect(await resize(scaling, cpuMillicores)).toMatchObject({ kind: 'applied', cpuMillicores, isWritten: false });
    expect(log.filter((line) => line.startsWith('worker lost'))).toHaveLength(1);
    await answers(pool);
    await stop(served);
  });

  it('made read-only is worked around: the next worker is limited by the next adapter, which is said once', async () => {
    const served = await serve();
    const { scaling, pool, warnings } = served;
    const directory = dirname(filesToJoin(scaling.join)[0]!);
    if (!mountsReadOnly(directory)) {
      console.warn('SKIPPED a read-only CPU group: no right to mount here');
      await stop(served);
      return;
    }
    try {
      expect(await resize(scaling, scaling.scaler.limits.minMillicores)).toMatchObject({ kind: 'refused' });
      await loseWorker(pool);
      await loseWorker(pool);
      // Under a quota of our own there is a word about what the next adapter makes of it, too.
      const said = warnings.filter((line) => line.startsWith('the CPU group'));
      expect(said).toEqual([expect.stringMatching(/^the CPU group cannot be used any more .* from now on /)]);
      expect(scaling.scaler.kind).toMatch(/^(affinity|none)$/);
      expect(await resize(scaling, 1000)).toMatchObject({ kind: 'applied' });
      await answers(pool);
    } finally {
      spawnSync('umount', [directory]);
    }
    await stop(served);
  });
});

function mountsReadOnly(directory: string): boolean {
  if (spawnSync('mount', ['--bind', directory, directory]).status !== 0) return false;
  return spawnSync('mount', ['-o', 'remount,ro,bind', directory]).status === 0;
}
