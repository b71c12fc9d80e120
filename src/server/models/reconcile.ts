import { compareVersions } from './versions.js';

/*
 * What has to be done so that of one model those versions are served that its repository has now.
 *
 * A version whose files have changed takes its own place. One that is new takes the place of one that is not wanted any more, the highest
 * that of the highest: so calls without a version go from the one to the other. Pure.
 */

/** A version as its files are, or were when it was loaded. */
export interface Stamped {
  readonly version: string;
  readonly stamp: string;
}

export interface Steps {
  /** In this order. */
  readonly load: readonly { readonly version: string; readonly inPlaceOf: string | null }[];
  /** Once all of them are served. */
  readonly end: readonly string[];
}

export function reconcile(served: readonly Stamped[], wanted: readonly Stamped[]): Steps {
  const isServed = ({ version }: Stamped): boolean => served.some((each) => each.version === version);
  const isWanted = ({ version }: Stamped): boolean => wanted.some((each) => each.version === version);
  const descending = (a: Stamped, b: Stamped): number => compareVersions(b.version, a.version);
  const changed = wanted.filter(({ version, stamp }) =>
    served.some((each) => each.version === version && each.stamp !== stamp),
  );
  const added = wanted.filter((each) => !isServed(each)).sort(descending);
  const leaving = served.filter((each) => !isWanted(each)).sort(descending);
  return {
    load: [
      ...changed.map(({ version }) => ({ version, inPlaceOf: version })),
      ...added.map(({ version }, index) => ({ version, inPlaceOf: leaving[index]?.version ?? null })),
    ],
    end: leaving.slice(added.length).map(({ version }) => version),
  };
}
