/*
 * Versions of a model are whole numbers, as folders are called by them: of any length, so that a time in nanoseconds is one. The
 * higher one is the newer one.
 */

/** Of a model that has no folder of versions. */
export const ONLY_VERSION = '1';

/** As Triton has it: a number that begins with a zero is none. */
export function isVersion(text: string): boolean {
  return /^[1-9]\d*$/.test(text);
}

/** Ascending. */
export function compareVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}

/** Which of a model's versions are served. */
export type VersionPolicy =
  | { readonly kind: 'latest'; readonly count: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'specific'; readonly versions: readonly string[] };

/** Where nobody says otherwise. */
export const LATEST_ONE: VersionPolicy = { kind: 'latest', count: 1 };

/** @param versions ascending */
export function versionsBy(policy: VersionPolicy, versions: readonly string[]): readonly string[] {
  switch (policy.kind) {
    case 'all':
      return versions;
    case 'latest':
      return versions.slice(-policy.count);
    case 'specific':
      return versions.filter((version) => policy.versions.includes(version));
  }
}
