/*
 * Bandwidth over time, and how long a transfer takes over it. Transfers do not share the bandwidth: each has all of it,
 * as in the paper, where the network delay of a request is its size over the bandwidth.
 *
 * Prefix sums over one period make both directions O(log n), and near O(1) for even steps and short transfers: searches
 * start from a guess and gallop. Walking the steps instead would cost a minute-long outage its sixty steps every time.
 */

/**
 * A remainder of this many bytes is rounding. Without it, a transfer that exactly fills the steps before an outage could
 * have 10^-9 bytes left and end after the outage. Instants up to 10^8 ms (28 h) are known to 1.5·10^-8 ms, which at
 * 10 000 bytes/ms is 0.00015 bytes.
 */
const ROUNDING_BYTES = 0.001;
/** The same, as a fraction of what a period carries: sums of doubles are good to about 2^-52. */
const ROUNDING_FRACTION = 2 ** -48;

/** Piecewise constant bandwidth that repeats after its end, in both directions. Its first step starts at 0 ms. Immutable. */
export class BandwidthTrace {
  readonly durationMs: number;
  readonly #bytesPerMs: Float64Array;
  /** Start of each step, and the end of the last. */
  readonly #startsMs: Float64Array;
  /** What the steps before each step carry, and what all of them carry. */
  readonly #bytesBefore: Float64Array;
  readonly #totalBytes: number;
  readonly #roundingBytes: number;
  /** Steps per ms on average: turns an instant into a first guess of its step, right for even steps. */
  readonly #stepsPerMs: number;

  /**
   * @param stepMs durations, each finite and > 0
   * @param bytesPerMs one for each step, each finite and ≥ 0; one period carries at least one byte
   */
  constructor(stepMs: ArrayLike<number>, bytesPerMs: ArrayLike<number>) {
    const count = stepMs.length;
    if (count === 0 || count !== bytesPerMs.length) {
      throw new RangeError(`a trace needs a bandwidth for each step, got ${bytesPerMs.length} for ${count} steps`);
    }
    this.#bytesPerMs = Float64Array.from(bytesPerMs);
    this.#startsMs = new Float64Array(count + 1);
    this.#bytesBefore = new Float64Array(count + 1);
    for (let step = 0; step < count; step += 1) {
      const lengthMs = stepMs[step]!;
      const rate = this.#bytesPerMs[step]!;
      if (!(lengthMs > 0 && lengthMs < Infinity))
        throw new RangeError(`step ${step} must last > 0 ms, got ${lengthMs}`);
      if (!(rate >= 0 && rate < Infinity)) throw new RangeError(`step ${step} must carry ≥ 0 bytes/ms, got ${rate}`);
      this.#startsMs[step + 1] = this.#startsMs[step]! + lengthMs;
      this.#bytesBefore[step + 1] = this.#bytesBefore[step]! + lengthMs * rate;
    }
    this.durationMs = this.#startsMs[count]!;
    this.#totalBytes = this.#bytesBefore[count]!;
    if (!(this.#totalBytes >= 1)) throw new RangeError(`a trace must carry a byte or more, got ${this.#totalBytes}`);
    this.#roundingBytes = Math.max(ROUNDING_BYTES, this.#totalBytes * ROUNDING_FRACTION);
    this.#stepsPerMs = count / this.durationMs;
  }

  /** Steps that all last `stepMs`. */
  static even(stepMs: number, bytesPerMs: ArrayLike<number>): BandwidthTrace {
    return new BandwidthTrace(new Float64Array(bytesPerMs.length).fill(stepMs), bytesPerMs);
  }

  /** The same series with every bandwidth multiplied. @param factor > 0 */
  scaled(factor: number): BandwidthTrace {
    return factor === 1
      ? this
      : new BandwidthTrace(
          this.#stepLengthsMs(),
          this.#bytesPerMs.map((rate) => factor * rate),
        );
  }

  /** The same series, begun at another instant of it: what is at `offsetMs` here, any finite instant, is at 0 there. */
  startingAt(offsetMs: number): BandwidthTrace {
    if (!Number.isFinite(offsetMs)) throw new RangeError(`a trace starts at a finite instant, got ${offsetMs}`);
    const inPeriodMs = offsetMs - this.#periodStartAtMs(offsetMs);
    const first = this.#stepAt(inPeriodMs);
    const lengthsMs = this.#stepLengthsMs();
    const intoMs = inPeriodMs - this.#startsMs[first]!;
    // The step that is begun in its middle comes again at the end.
    const order = [...lengthsMs.keys()].map((step) => (first + step) % lengthsMs.length);
    const rates = order.map((step) => this.#bytesPerMs[step]!);
    const durationsMs = order.map((step) => lengthsMs[step]!);
    if (intoMs <= 0) return new BandwidthTrace(durationsMs, rates);
    durationsMs[0]! -= intoMs;
    return new BandwidthTrace([...durationsMs, intoMs], [...rates, rates[0]!]);
  }

  #stepLengthsMs(): Float64Array {
    return this.#bytesPerMs.map((_, step) => this.#startsMs[step + 1]! - this.#startsMs[step]!);
  }

  /** At any instant, before 0 too. At a border, that of the step that begins. */
  bytesPerMsAt(atMs: number): number {
    return this.#bytesPerMs[this.#stepAt(atMs - this.#periodStartAtMs(atMs))]!;
  }

  /**
   * The first instant at which a transfer begun at `startAtMs` has moved `bytes`; never before `startAtMs`, and
   * `startAtMs` itself for 0 bytes. Non-decreasing in both arguments, up to rounding.
   */
  transferEndAtMs(startAtMs: number, bytes: number): number {
    assertTransfer(startAtMs, bytes);
    if (bytes === 0) return startAtMs;
    const periodStartAtMs = this.#periodStartAtMs(startAtMs);
    const step = this.#stepAt(startAtMs - periodStartAtMs);
    const rate = this.#bytesPerMs[step]!;
    const stepEndAtMs = periodStartAtMs + this.#startsMs[step + 1]!;
    const endInStepAtMs = startAtMs + bytes / rate;
    if (endInStepAtMs <= stepEndAtMs) return endInStepAtMs;
    const leftBytes = bytes - (stepEndAtMs - startAtMs) * rate;
    if (leftBytes <= this.#roundingBytes) return Math.max(startAtMs, stepEndAtMs);

    // Looked up a little early: what is left after a step by rounding alone belongs to that step.
    const lookupBytes = this.#bytesBefore[step + 1]! + leftBytes - this.#roundingBytes;
    const periods = Math.floor(lookupBytes / this.#totalBytes);
    const inPeriodBytes = this.#insidePeriod(lookupBytes - periods * this.#totalBytes);
    const last = this.#stepCarrying(inPeriodBytes, periods === 0 ? step + 1 : 0);
    const intoLastMs = (inPeriodBytes + this.#roundingBytes - this.#bytesBefore[last]!) / this.#bytesPerMs[last]!;
    const inPeriodMs = Math.min(this.#startsMs[last + 1]!, this.#startsMs[last]! + intoLastMs);
    return Math.max(stepEndAtMs, periodStartAtMs + periods * this.durationMs + inPeriodMs);
  }

  /**
   * The last instant from which a transfer of `bytes` ends by `endAtMs`; `endAtMs` itself for 0 bytes. The inverse of
   * `transferEndAtMs`: begun later, even by little, it ends later than `endAtMs`.
   */
  latestStartAtMs(endAtMs: number, bytes: number): number {
    assertTransfer(endAtMs, bytes);
    if (bytes === 0) return endAtMs;
    const periodStartAtMs = this.#periodStartAtMs(endAtMs);
    const step = this.#stepAt(endAtMs - periodStartAtMs);
    const rate = this.#bytesPerMs[step]!;
    const stepStartAtMs = periodStartAtMs + this.#startsMs[step]!;
    const startInStepAtMs = endAtMs - bytes / rate;
    if (startInStepAtMs >= stepStartAtMs) return startInStepAtMs;
    // Half of the tolerance, so that the way back has room for it.
    const roundingBytes = this.#roundingBytes / 2;
    const leftBytes = bytes - (endAtMs - stepStartAtMs) * rate;
    if (leftBytes <= roundingBytes) return Math.min(endAtMs, stepStartAtMs);

    const lookupBytes = this.#bytesBefore[step]! - leftBytes + roundingBytes;
    const periods = Math.floor(lookupBytes / this.#totalBytes);
    const inPeriodBytes = this.#insidePeriod(lookupBytes - periods * this.#totalBytes);
    const first = this.#stepCarrying(inPeriodBytes, periods === 0 ? step : this.#bytesPerMs.length - 1);
    const intoFirstMs = (inPeriodBytes - roundingBytes - this.#bytesBefore[first]!) / this.#bytesPerMs[first]!;
    const inPeriodMs = this.#startsMs[first]! + Math.max(0, intoFirstMs);
    return Math.min(stepStartAtMs, periodStartAtMs + periods * this.durationMs + inPeriodMs);
  }

  /** What passes from one instant to a later one; at `transferEndAtMs` it is the whole transfer, up to rounding. */
  bytesBetween(fromMs: number, toMs: number): number {
    return this.#bytesBy(toMs) - this.#bytesBy(fromMs);
  }

  /** Since 0; negative before it. */
  #bytesBy(atMs: number): number {
    const periodStartAtMs = this.#periodStartAtMs(atMs);
    const inPeriodMs = atMs - periodStartAtMs;
    const step = this.#stepAt(inPeriodMs);
    const inPeriodBytes = this.#bytesBefore[step]! + (inPeriodMs - this.#startsMs[step]!) * this.#bytesPerMs[step]!;
    return Math.round(periodStartAtMs / this.durationMs) * this.#totalBytes + inPeriodBytes;
  }

  #periodStartAtMs(atMs: number): number {
    return Math.floor(atMs / this.durationMs) * this.durationMs;
  }

  /** @param inPeriodMs in [0, durationMs], or beside it by rounding */
  #stepAt(inPeriodMs: number): number {
    return lastAtMost(this.#startsMs, inPeriodMs, Math.floor(inPeriodMs * this.#stepsPerMs));
  }

  /** The step in which that byte of a period passes. Its bandwidth is > 0: the sum is larger after it than before it. */
  #stepCarrying(inPeriodBytes: number, guess: number): number {
    return lastAtMost(this.#bytesBefore, inPeriodBytes, guess);
  }

  /** Undoes the rounding of a remainder: into [0, totalBytes), and off its end, where a step of an outage could be. */
  #insidePeriod(bytes: number): number {
    return Math.max(0, Math.min(bytes, this.#totalBytes - this.#roundingBytes));
  }
}

function assertTransfer(atMs: number, bytes: number): void {
  if (!Number.isFinite(atMs)) throw new RangeError(`a transfer needs a finite instant, got ${atMs}`);
  if (!(bytes >= 0 && bytes < Infinity)) throw new RangeError(`a transfer is of ≥ 0 bytes, got ${bytes}`);
}

/**
 * The last index of a non-decreasing array whose value is ≤ `value`; at least 0, and never the last of all, which is an
 * end and not a step. Gallops from `guess` (any integer), then halves: O(log distance).
 */
function lastAtMost(sorted: Float64Array, value: number, guess: number): number {
  const last = sorted.length - 2;
  let low = Math.max(0, Math.min(guess, last));
  let high = low + 1;
  if (sorted[low]! <= value) {
    for (let stride = 1; high <= last && sorted[high]! <= value; stride *= 2) {
      low = high;
      high = Math.min(high + stride, last + 1);
    }
  } else {
    for (let stride = 1; low > 0 && sorted[low]! > value; stride *= 2) {
      high = low;
      low = Math.max(0, low - stride);
    }
  }
  // sorted[low] ≤ value < sorted[high], or they are the borders.
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}
