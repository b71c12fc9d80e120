/** A second signal so soon is the same one, sent to the process group and passed on by npm as well. */
const SAME_SIGNAL_MS = 500;

/** Resolves with the first SIGTERM or SIGINT; the second one ends the process at once. */
export function firstStopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstAtMs: number | null = null;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (firstAtMs !== null && performance.now() - firstAtMs > SAME_SIGNAL_MS) process.exit(1);
      firstAtMs ??= performance.now();
      resolve(signal);
    };
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.on(each, onSignal);
  });
}
