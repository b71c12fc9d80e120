import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * An image of one layer, as `docker save` writes them: https://github.com/moby/docker-image-spec/blob/main/spec.md ("Combined Image JSON +
 * Filesystem Changeset Format"). Made from a folder, so that no registry and no builder is needed.
 */

export interface ImageSettings {
  readonly name: string;
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
  /** `uid:gid`; root where nothing is said. */
  readonly user?: string;
}

/** @returns the archive */
export function archiveImage(
  root: string,
  folder: string,
  { name, entrypoint, env = [], user }: ImageSettings,
): string {
  const place = join(folder, `image-${name.replaceAll(/[^a-z0-9]/g, '-')}`);
  mkdirSync(place);
  const owner = ['--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['cf', join(place, 'layer.tar'), ...owner, '-C', root, '.']);
  const diffId = `sha256:${createHash('sha256')
    .update(readFileSync(join(place, 'layer.tar')))
    .digest('hex')}`;
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: entrypoint, Env: env, ...(user === undefined ? {} : { User: user }) },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: new Date(0).toISOString() }],
  };
  writeFileSync(join(place, 'config.json'), JSON.stringify(config));
  writeFileSync(
    join(place, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]),
  );
  const archive = `${place}.tar`;
  execFileSync('tar', ['cf', archive, '-C', place, 'config.json', 'manifest.json', 'layer.tar']);
  return archive;
}
