/**
 * A bench's own conditions did not hold, as where the machine had no time for requests that were to be served: nothing was measured,
 * and nothing is broken. `run.ts` tries such a bench again.
 */
export class Disturbed extends Error {
  override readonly name = 'Disturbed';
}

/** How a bench that was disturbed exits. */
export const DISTURBED_EXIT_CODE = 3;
