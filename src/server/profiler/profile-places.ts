import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Profile, ProfileFingerprint } from '../../scheduler/perf-model/profile.js';
import { readStoredProfile, writeProfile, type StoredProfile } from './profile-store.js';

/*
 * Where a served model's profile is kept: beside the model, or in a folder of profiles, for models in folders that are only to be read.
 * There it is called by the model's bytes, so that a model may move, have copies and change its name. A profile beside the model that fits
 * still counts: whoever delivers a model may deliver its profile.
 */

export interface ProfilePlaces {
  /** The file beside the model. */
  readonly besideModel: string;
  /** The folder of profiles; null: they are kept beside their models. */
  readonly folder: string | null;
}

/** So many are kept in the folder, the latest, as clients may send models: a few 10 KB each. */
const MOST_PROFILES = 1000;
const IN_FOLDER = /^[\da-f]{64}\.profile\.json$/;

function profilePathIn({ besideModel, folder }: ProfilePlaces, { modelSha256 }: ProfileFingerprint): string {
  return folder === null ? besideModel : join(folder, `${modelSha256}.profile.json`);
}

export async function findProfile(places: ProfilePlaces, fingerprint: ProfileFingerprint): Promise<StoredProfile> {
  const own = await readStoredProfile(profilePathIn(places, fingerprint), fingerprint);
  if (own.kind === 'fresh' || places.folder === null) return own;
  const beside = await readStoredProfile(places.besideModel, fingerprint);
  return beside.kind === 'fresh' || own.kind === 'missing' ? beside : own;
}

/** @throws the file system's error: no space, no rights */
export async function keepProfile(
  places: ProfilePlaces,
  fingerprint: ProfileFingerprint,
  profile: Profile,
): Promise<void> {
  await writeProfile(profilePathIn(places, fingerprint), profile);
  if (places.folder !== null) await forgetOldest(places.folder);
}

async function forgetOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => IN_FOLDER.test(name));
  if (names.length <= MOST_PROFILES) return;
  const dated = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      // Another server may have removed it meanwhile.
      const writtenAtMs = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      return { path, writtenAtMs };
    }),
  );
  dated.sort((a, b) => a.writtenAtMs - b.writtenAtMs);
  for (const { path } of dated.slice(0, -MOST_PROFILES)) await rm(path, { force: true });
}
