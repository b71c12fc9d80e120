/*
 * The released queue, as a replay over the plans of a simulated run: first every batch is cut from the instants of arrival
 * alone, then they are served one after the other. A batch goes when it is full or its time is over, without waiting for
 * the model; what the batch size becomes later does not matter to it. One shape class, first come, first served. Shares no
 * code and no types with `src/`.
 */

export interface PlanInForce {
  readonly fromMs: number;
  readonly cpuMillicores: number;
  readonly batchSize: number;
}

export interface ClosedWindowsOptions {
  /** Ascending. */
  readonly receivedAtMs: ArrayLike<number>;
  /** Ascending, the first before anything is received. */
  readonly plans: readonly PlanInForce[];
  readonly maxBatchTimeMs: number;
  /** Received → can be started. */
  readonly stagingMs: number;
  /** Planned → the allocation is in force. */
  readonly resizeMs: number;
  /** How late a batch goes that only a timer tells of its end, nothing being staged or answered just then. */
  readonly timerLatenessMs: number;
  readonly latencyMs: (batchSize: number, cpuMillicores: number) => number;
  /** Multiplies a batch's latency; called once for each, in order. */
  readonly nextMultiplier: () => number;
}

/** When each request is answered. */
export function serveClosedWindows(options: ClosedWindowsOptions): Float64Array {
  const { receivedAtMs, stagingMs, timerLatenessMs, nextMultiplier } = options;
  const finishedAtMs = new Float64Array(receivedAtMs.length);
  let freeAtMs = -Infinity;
  for (const { first, end, closedAtMs } of closedWindows(options)) {
    const mayStartAtMs = Math.max(freeAtMs, receivedAtMs[end - 1]! + stagingMs);
    const startAtMs = closedAtMs <= mayStartAtMs ? mayStartAtMs : closedAtMs + timerLatenessMs;
    freeAtMs = endOfBatch(options, startAtMs, end - first, nextMultiplier());
    finishedAtMs.fill(freeAtMs, first, end);
  }
  return finishedAtMs;
}

/** A shrink slows what runs; a growth does not make it faster, since that needs threads that a running batch does not have. */
function endOfBatch(
  { plans, resizeMs, latencyMs }: ClosedWindowsOptions,
  startAtMs: number,
  batchSize: number,
  multiplier: number,
): number {
  let current = plans.findLastIndex(({ fromMs }) => fromMs + resizeMs <= startAtMs);
  const threads = Math.ceil(plans[current]!.cpuMillicores / 1000);
  let atMs = startAtMs;
  let leftFraction = 1;
  for (;;) {
    const totalMs = multiplier * latencyMs(batchSize, Math.min(plans[current]!.cpuMillicores, 1000 * threads));
    const endAtMs = atMs + leftFraction * totalMs;
    const next = plans[current + 1];
    if (next === undefined || next.fromMs + resizeMs >= endAtMs) return endAtMs;
    leftFraction -= (next.fromMs + resizeMs - atMs) / totalMs;
    atMs = next.fromMs + resizeMs;
    current += 1;
  }
}

interface ClosedWindow {
  /** Requests [first, end). */
  readonly first: number;
  readonly end: number;
  readonly closedAtMs: number;
}

/**
 * As the fork counts its time: at each arrival, what has passed since the opening is taken off what was left then. It looks
 * at the batch size after an arrival alone.
 */
function closedWindows({ receivedAtMs, plans, maxBatchTimeMs }: ClosedWindowsOptions): ClosedWindow[] {
  const windows: ClosedWindow[] = [];
  let current = 0;
  let first = 0;
  let leftMs = maxBatchTimeMs;
  let closesAtMs = Infinity;
  const close = (end: number, closedAtMs: number): void => {
    windows.push({ first, end, closedAtMs });
    first = end;
  };
  for (let index = 0; index < receivedAtMs.length; index++) {
    const atMs = receivedAtMs[index]!;
    while (current + 1 < plans.length && plans[current + 1]!.fromMs <= atMs) current += 1;
    if (index > first && atMs >= closesAtMs) close(index, closesAtMs);
    leftMs = index === first ? maxBatchTimeMs : leftMs - (atMs - receivedAtMs[first]!);
    closesAtMs = atMs + Math.max(0, leftMs);
    if (index + 1 - first >= plans[current]!.batchSize) close(index + 1, atMs);
  }
  if (first < receivedAtMs.length) close(receivedAtMs.length, closesAtMs);
  return windows;
}
