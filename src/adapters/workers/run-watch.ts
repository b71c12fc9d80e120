/*
 * Notices a synthetic run that hangs. Its length cannot be foretold, as that of a client's batch can (the dispatcher
 * watches those): synthetic runs are what predictions are made from, and on the smallest allocation a run may rightly
 * take minutes. So it is asked whether the inference threads still compute. Rejected: a time limit alone, which either
 * keeps requests waiting for minutes behind a frozen worker or refuses to serve a large model.
 */

/**
 * A run whose threads use no CPU for this long stands still: even the smallest allocation, 100 millicores, would have
 * given it 1.5 s of CPU.
 */
export const STANDSTILL_MS = 15_000;
/** Looks at a standstill before it counts: if the router was stopped for a while, that is one look. */
const LOOKS = 5;
/** Below a thousandth of a core nothing computes; the clock of CPU time ticks every 10 ms. */
const LEAST_USE_CORES = 0.001;
/** A model that computes this long is not served by deadlines: 60 core-seconds at 100 millicores. */
const LONGEST_RUN_MS = 600_000;

/**
 * Calls `onHang` once if the worker's CPU time stands still for `standstillMs`, counted from the first look, or goes on
 * for ever. Looks at nothing before that, so that a short run is not disturbed.
 * @param usedSeconds CPU time of the inference threads; a constant where the platform does not tell, and then every run
 *   of that length counts as a standstill
 * @returns to be called when the run has ended
 */
export function watchRun(
  usedSeconds: () => number,
  standstillMs: number,
  onHang: (message: string) => void,
): () => void {
  const lookMs = standstillMs / LOOKS;
  let usedBefore = -Infinity;
  let lookCount = 0;
  let stillCount = 0;
  const timer = setInterval(() => {
    const used = usedSeconds();
    stillCount = used - usedBefore < (LEAST_USE_CORES * lookMs) / 1000 ? stillCount + 1 : 0;
    usedBefore = used;
    lookCount++;
    if (stillCount < LOOKS && lookCount * lookMs < LONGEST_RUN_MS) return;
    clearInterval(timer);
    const problem =
      stillCount < LOOKS ? `still computes after ${lookCount * lookMs}` : `used no CPU for ${standstillMs}`;
    onHang(`a synthetic run hung: it ${problem} ms`);
  }, lookMs);
  return () => clearInterval(timer);
}
