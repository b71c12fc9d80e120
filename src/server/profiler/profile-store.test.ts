import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { profileCell } from '../../scheduler/perf-model/profile-cell.js';
import type { Profile } from '../../scheduler/perf-model/profile.js';
import type { ModelFile } from '../workers/model-bytes.js';
import {
  assertStorable,
  describeWriteFailure,
  fingerprintOf,
  readStoredProfile,
  writeProfile,
  type ProfiledSetting,
} from './profile-store.js';

const SETTING: ProfiledSetting = {
  scaler: 'cgroup-v1',
  quotaPeriodUs: 10_000,
  threadCounts: [1, 2],
  onnxRuntimeVersion: '1.30.0',
  shapeClassKey: 'x:FP32[3,4]',
};

let folder: string;
let modelPath: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-profile-'));
  modelPath = join(folder, 'm.onnx');
  await writeFile(modelPath, 'a model');
});
afterEach(() => rm(folder, { recursive: true }));

function filesOf(...contents: string[]): ModelFile[] {
  return contents.map((content, i) => ({ path: `/${i}`, sha256: createHash('sha256').update(content).digest('hex') }));
}

const FILES = filesOf('a model');

function profileOf(setting: ProfiledSetting): Profile {
  return {
    schemaVersion: 1,
    name: 'm',
    fingerprint: fingerprintOf(FILES, setting),
    elementCount: 12,
    quality: 'quick',
    measuredAt: '2026-01-01T00:00:00.000Z',
    cells: [profileCell({ batchSize: 1, cpuMillicores: 1000, threadCount: 1 }, [20, 21, 22])],
  };
}

describe('the stored profile', () => {
  it('is read back as it was written, and leaves no draft behind', async () => {
    const path = join(folder, 'm.profile.json');
    const profile = profileOf(SETTING);
    await writeProfile(path, profile);
    expect(await readStoredProfile(path, profile.fingerprint!)).toEqual({ kind: 'fresh', profile });
    expect((await readdir(folder)).sort()).toEqual(['m.onnx', 'm.profile.json']);
  });

  it('is missing where there is no file', async () => {
    const { fingerprint } = profileOf(SETTING);
    expect(await readStoredProfile(join(folder, 'none.json'), fingerprint!)).toEqual({ kind: 'missing' });
  });

  it.each([
    [{ scaler: 'none' }, 'scaler'],
    [{ quotaPeriodUs: 20_000 }, 'quota period'],
    [{ threadCounts: [1] }, 'set of thread counts'],
    [{ shapeClassKey: 'x:FP32[3,5]' }, 'input shape'],
  ])('is stale under another setting %j', async (change, name) => {
    const path = join(folder, 'm.profile.json');
    await writeProfile(path, profileOf({ ...SETTING, ...change }));
    const wanted = fingerprintOf(FILES, SETTING);
    expect(await readStoredProfile(path, wanted)).toMatchObject({
      kind: 'stale',
      reason: expect.stringContaining(name) as string,
    });
  });

  it.each([[['another model']], [['a model', 'weights']]])('is stale for other files: %j', async (contents) => {
    const path = join(folder, 'm.profile.json');
    await writeProfile(path, profileOf(SETTING));
    const wanted = fingerprintOf(filesOf(...contents), SETTING);
    expect(await readStoredProfile(path, wanted)).toMatchObject({
      kind: 'stale',
      reason: expect.stringContaining('model file') as string,
    });
  });

  it('is stale where only the weights beside the model are others', () => {
    const [one, other] = [filesOf('graph', 'weights'), filesOf('graph', 'other weights')];
    expect(fingerprintOf(one, SETTING)).not.toEqual(fingerprintOf(other, SETTING));
    expect(fingerprintOf(one, SETTING)).toEqual(fingerprintOf(filesOf('graph', 'weights'), SETTING));
  });

  it('is stale, not fatal, when it is damaged', async () => {
    const path = join(folder, 'm.profile.json');
    const wanted = fingerprintOf(FILES, SETTING);
    for (const text of ['', '{"schemaVersion": 1', '[]', '{"schemaVersion": 2}']) {
      await writeFile(path, text);
      expect(await readStoredProfile(path, wanted)).toMatchObject({ kind: 'stale' });
    }
  });

  it('reports a place that cannot be written to, and leaves nothing there', async () => {
    await expect(writeProfile(join(folder, 'no', 'such', 'x.json'), profileOf(SETTING))).rejects.toThrow('ENOENT');
  });

  it('tells in advance, in one line with the remedy, that it cannot be written', async () => {
    await assertStorable(modelPath);
    const inNoFolder = join(folder, 'none', 'm.profile.json');
    const error: unknown = await assertStorable(inNoFolder).catch((reason: unknown) => reason);
    expect(describeWriteFailure(inNoFolder, error, '--output')).toBe(
      `cannot write ${inNoFolder}: no such folder; make it, or name another place with --output`,
    );
    expect(await readdir(folder)).toEqual(['m.onnx']);
    expect(await readFile(modelPath, 'utf8')).toBe('a model');
  });
});
