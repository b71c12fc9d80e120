/*
 * The budget of requests that state none.
 */

/** Of a request whose model has no profile yet. */
const PROVISIONAL_SLO_MS = 1000;
const LEAST_SLO_MS = 1000;
const TIMES_ALONE = 10;

export interface SloBasis {
  /** What somebody said, ms; null where nobody did. */
  readonly statedMs: number | null;
  /** Whether it is known what a request takes. */
  readonly isProfiled: boolean;
  /** Of one request on one core, ms; asked where it is known. */
  readonly aloneMs: () => number;
}

/** In ms. */
export function defaultSloOf({ statedMs, isProfiled, aloneMs }: SloBasis): number {
  if (statedMs !== null) return statedMs;
  return isProfiled ? Math.max(LEAST_SLO_MS, TIMES_ALONE * aloneMs()) : PROVISIONAL_SLO_MS;
}
