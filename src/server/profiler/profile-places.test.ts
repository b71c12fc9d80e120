import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { profileCell } from '../../scheduler/perf-model/profile-cell.js';
import type { Profile, ProfileFingerprint } from '../../scheduler/perf-model/profile.js';
import { findProfile, keepProfile, type ProfilePlaces } from './profile-places.js';
import { writeProfile } from './profile-store.js';

const SHA = 'ab'.repeat(32);
const FINGERPRINT: ProfileFingerprint = {
  modelSha256: SHA,
  cpuModel: 'a processor',
  cpuCount: 2,
  scaler: 'none',
  quotaPeriodUs: 10_000,
  threadCounts: [1],
  onnxRuntimeVersion: '1.30.0',
  shapeClassKey: 'x:FP32[4]',
};

function profileOf(fingerprint: ProfileFingerprint, ms: number): Profile {
  return {
    schemaVersion: 1,
    name: 'm',
    fingerprint,
    elementCount: 4,
    quality: 'quick',
    measuredAt: '2026-01-01T00:00:00.000Z',
    cells: [profileCell({ batchSize: 1, cpuMillicores: 1000, threadCount: 1 }, [ms, ms, ms])],
  };
}

let root: string;
let places: ProfilePlaces & { readonly folder: string };
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sponge-places-'));
  places = { besideModel: join(root, 'model.profile.json'), folder: join(root, 'profiles') };
  await mkdir(places.folder);
});
afterEach(() => rm(root, { recursive: true }));

it('is kept by the bytes of the model, and nothing is written beside that', async () => {
  expect(await findProfile(places, FINGERPRINT)).toEqual({ kind: 'missing' });
  const profile = profileOf(FINGERPRINT, 20);
  await keepProfile(places, FINGERPRINT, profile);
  expect(await readdir(root)).toEqual(['profiles']);
  expect(await readdir(places.folder)).toEqual([`${SHA}.profile.json`]);
  // Wherever the model is now.
  const moved = { ...places, besideModel: join(root, 'elsewhere.profile.json') };
  expect(await findProfile(moved, FINGERPRINT)).toEqual({ kind: 'fresh', profile });
  const other = { ...FINGERPRINT, modelSha256: 'cd'.repeat(32) };
  expect(await findProfile(places, other)).toEqual({ kind: 'missing' });
});

it('of its own folder goes before one that was delivered with the model, which goes before none', async () => {
  const delivered = profileOf(FINGERPRINT, 30);
  await writeProfile(places.besideModel, delivered);
  expect(await findProfile(places, FINGERPRINT)).toEqual({ kind: 'fresh', profile: delivered });
  await keepProfile(places, FINGERPRINT, profileOf({ ...FINGERPRINT, cpuCount: 4 }, 10));
  expect(await findProfile(places, FINGERPRINT)).toEqual({ kind: 'fresh', profile: delivered });
  await keepProfile(places, FINGERPRINT, profileOf(FINGERPRINT, 20));
  expect(await findProfile(places, FINGERPRINT)).toMatchObject({ kind: 'fresh', profile: { cells: [{ p50Ms: 20 }] } });
  expect(await findProfile({ ...places, folder: null }, FINGERPRINT)).toEqual({ kind: 'fresh', profile: delivered });
  const another = { ...FINGERPRINT, cpuCount: 8 };
  expect(await findProfile(places, another)).toMatchObject({ kind: 'stale', reason: /number of processors/ });
});

it('pushes the oldest out where there are a thousand, and nothing that is no profile', async () => {
  const old = new Date('2020-01-01');
  for (let number = 0; number <= 1000; number++) {
    const path = join(places.folder, `${number.toString(16).padStart(64, '0')}.profile.json`);
    await writeFile(path, '{}');
    if (number === 500 || number === 700) await utimes(path, old, old);
  }
  await writeFile(join(places.folder, 'notes.txt'), '');
  await keepProfile(places, FINGERPRINT, profileOf(FINGERPRINT, 20));
  const names = await readdir(places.folder);
  expect(names).toHaveLength(1001);
  for (const number of [500, 700]) {
    expect(names).not.toContain(`${number.toString(16).padStart(64, '0')}.profile.json`);
  }
  for (const name of ['notes.txt', `${SHA}.profile.json`]) expect(names).toContain(name);
});
