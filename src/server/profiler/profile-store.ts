import { createHash } from 'node:crypto';
import { chmod, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseProfile } from '../../scheduler/perf-model/profile-schema.js';
import type { Profile, ProfileFingerprint } from '../../scheduler/perf-model/profile.js';
import { oneLine } from '../workers/load-failure.js';
import type { ModelFile } from '../workers/model-bytes.js';

/** What a profile is valid for, less the machine, which is read here. */
export type ProfiledSetting = Omit<ProfileFingerprint, 'modelSha256' | 'cpuModel' | 'cpuCount'>;

export type StoredProfile =
  | { readonly kind: 'fresh'; readonly profile: Profile }
  | { readonly kind: 'missing' }
  /** Of another model, machine or setting; or unreadable. One line saying which. */
  | { readonly kind: 'stale'; readonly reason: string };

const MAX_PROFILE_BYTES = 64 * 1024 * 1024;

/** @param files that the model was loaded from, its own first; weights in files beside it count too */
export function fingerprintOf(files: readonly ModelFile[], setting: ProfiledSetting): ProfileFingerprint {
  const processors = cpus();
  return {
    modelSha256: contentHash(files),
    cpuModel: processors[0]?.model ?? 'unknown',
    cpuCount: processors.length,
    ...setting,
  };
}

/** Of one file, that of its bytes; of several, that of their hashes. */
function contentHash(files: readonly ModelFile[]): string {
  const hashes = files.map(({ sha256 }) => sha256);
  if (hashes.length === 1) return hashes[0]!;
  return createHash('sha256').update(hashes.join('\n')).digest('hex');
}

export async function readStoredProfile(path: string, fingerprint: ProfileFingerprint): Promise<StoredProfile> {
  const info = await stat(path).catch(() => null);
  if (info === null) return { kind: 'missing' };
  if (info.size > MAX_PROFILE_BYTES) return { kind: 'stale', reason: `profile ${path} is larger than 64 MiB` };
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    return { kind: 'stale', reason: `profile ${path}: ${oneLine(error)}` };
  }
  const parsed = parseProfile(value, path);
  if (parsed.kind === 'invalid') return { kind: 'stale', reason: parsed.message };
  const difference = firstDifference(parsed.profile.fingerprint, fingerprint);
  if (difference !== null) return { kind: 'stale', reason: `profile ${path} is for another ${difference}` };
  return { kind: 'fresh', profile: parsed.profile };
}

/** Complete or not at all: readers never see half a profile. @throws the file system's error: no space, no rights */
export async function writeProfile(path: string, profile: Profile): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  // Whoever owns one that is there has decided who may read it.
  const mode = await stat(path).then(
    ({ mode }) => mode & 0o777,
    () => 0o600,
  );
  try {
    await writeFile(draft, `${JSON.stringify(profile)}\n`, { mode: 0o600 });
    if (mode !== 0o600) await chmod(draft, mode);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** More than the profile of any grid: the largest, 400 cells of 20 runs, takes about 160 KB. */
const TRIAL_BYTES = 256 * 1024;

/** Whether a profile can be written there, before minutes are spent on measuring one. @throws as `writeProfile` does */
export async function assertStorable(path: string): Promise<void> {
  const trial = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(trial, new Uint8Array(TRIAL_BYTES));
  } finally {
    await rm(trial, { force: true });
  }
}

/** Why a file could not be written: one line, cause and remedy. @param flag that names another place for it */
export function describeWriteFailure(path: string, error: unknown, flag: '--output' | '--picture'): string {
  return `cannot write ${path}: ${explainWriteFailure(error, flag)}`;
}

function explainWriteFailure(error: unknown, flag: string): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return `the disk is full; free some space, or name another place with ${flag}`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `no right to write there; change that, or name another place with ${flag}`;
    case 'ENOENT':
    case 'ENOTDIR':
      return `no such folder; make it, or name another place with ${flag}`;
    case 'EISDIR':
      return 'a folder, not a file; name the file in it';
    default:
      return oneLine(error);
  }
}

const FIELD_NAMES: Readonly<Record<keyof ProfileFingerprint, string>> = {
  modelSha256: 'model file',
  cpuModel: 'processor',
  cpuCount: 'number of processors',
  scaler: 'scaler',
  quotaPeriodUs: 'quota period',
  threadCounts: 'set of thread counts',
  onnxRuntimeVersion: 'ONNX Runtime version',
  shapeClassKey: 'input shape',
};

/** Null when they agree. */
function firstDifference(stored: ProfileFingerprint | null, wanted: ProfileFingerprint): string | null {
  for (const key of Object.keys(FIELD_NAMES) as (keyof ProfileFingerprint)[]) {
    if (JSON.stringify(stored?.[key]) !== JSON.stringify(wanted[key])) return FIELD_NAMES[key];
  }
  return null;
}
