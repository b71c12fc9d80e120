import { compareVersions, isVersion, LATEST_ONE, versionsBy, type VersionPolicy } from '../models/versions.js';
import { whyNoName } from './location.js';

/*
 * Which files of a listing are fetched. Names were chosen by somebody else: none leads out of the folder, none is a file and a folder at
 * once. Of a model's versions those that would be served: a bucket keeps every version there ever was. Pure.
 */

export interface RemoteFile {
  /** Below the folder; its parts are joined by slashes. */
  readonly path: string;
  readonly bytes: number;
}

export interface LeftOut {
  readonly path: string;
  readonly reason: string;
}

/** Deeper than any repository of models. */
const MOST_PARTS = 16;

/** Files that may be fetched by their names; what is left out is told, except what a repository does not look at: names with a dot first, and folders' own marks. */
export function safeFiles<File extends RemoteFile>(
  listed: readonly File[],
): { readonly files: readonly File[]; readonly leftOut: readonly LeftOut[] } {
  const files: File[] = [];
  const leftOut: LeftOut[] = [];
  const folders = new Set<string>();
  for (const { path } of listed) {
    const parts = path.split('/');
    for (let depth = 1; depth < Math.min(parts.length, MOST_PARTS); depth++)
      folders.add(parts.slice(0, depth).join('/'));
  }
  for (const file of listed) {
    const parts = file.path.split('/');
    if (file.path === '' || file.path.endsWith('/')) continue;
    const fault = parts.map(whyNoName).find((each) => each !== null);
    if (fault !== undefined) leftOut.push({ path: file.path, reason: `its name ${fault}` });
    else if (parts.some((part) => part.startsWith('.'))) continue;
    else if (parts.length > MOST_PARTS)
      leftOut.push({ path: file.path, reason: `more than ${MOST_PARTS} folders deep` });
    else if (folders.has(file.path)) leftOut.push({ path: file.path, reason: 'there is a folder of the same name' });
    else files.push(file);
  }
  return { files, leftOut };
}

/** What a model's folder says of it. */
export const SETTINGS_NAMES = ['model.yaml', 'config.pbtxt'];

/**
 * Without the versions that are not served.
 * @param policyOf by a model's folder, '' for the folder of all: which versions it asks for; null where that is not known, and all are fetched
 */
export function withoutOldVersions<File extends RemoteFile>(
  files: readonly File[],
  policyOf: (folder: string) => VersionPolicy | null,
): readonly File[] {
  const versions = new Map<string, Set<string>>();
  for (const { path } of files) {
    const version = versionOf(path);
    if (version === null || !path.endsWith('/model.onnx')) continue;
    const known = versions.get(version.folder) ?? new Set();
    versions.set(version.folder, known.add(version.number));
  }
  const served = new Map<string, ReadonlySet<string>>();
  for (const [folder, numbers] of versions) {
    const policy = policyOf(folder);
    if (policy !== null) served.set(folder, new Set(versionsBy(policy, [...numbers].sort(compareVersions))));
  }
  return files.filter(({ path }) => {
    const version = versionOf(path);
    const wanted = version === null ? undefined : served.get(version.folder);
    return wanted === undefined || wanted.has(version!.number);
  });
}

/** Where nothing is said of a model. */
export const POLICY_UNSAID: VersionPolicy = LATEST_ONE;

/** `versions` of a `model.yaml`; null for what takes all versions, or is not understood. */
export function policySaid(versions: unknown): VersionPolicy | null {
  if (versions === undefined) return POLICY_UNSAID;
  if (typeof versions !== 'object' || versions === null) return null;
  const { latest, specific } = versions as Readonly<Record<string, unknown>>;
  if (Number.isSafeInteger(latest) && (latest as number) > 0) return { kind: 'latest', count: latest as number };
  return Array.isArray(specific) ? { kind: 'specific', versions: specific.map(String) } : null;
}

/** `<name>/<version>/…`, or `<version>/…` where the folder is a model's own. */
function versionOf(path: string): { readonly folder: string; readonly number: string } | null {
  const [first = '', second = '', third] = path.split('/');
  if (isVersion(first) && second !== '') return { folder: '', number: first };
  return isVersion(second) && third !== undefined ? { folder: first, number: second } : null;
}
