/*
 * P̂(rate): the least cores at which a rate of work can be sustained, for lower bounds on core-seconds.
 *
 * A batch of b on c cores does b requests in l(b, c), so it sustains b / l(b, c) for c cores; between two such points an
 * instance can share its time, and idle it holds `idleCores`. P̂ is therefore the lower convex hull of (0, idleCores) and
 * all allowed points. Whatever an instance does at an instant, also in the middle of a batch that is being resized, its
 * (rate, cores) lies on or above P̂.
 *
 * Rates count requests of multiplier 1 per ms. A batch whose service takes m times as long as the table says does its work
 * m times as slowly; that is counted as m times the work (fluid-bound.ts), and the curve stays as it is.
 *
 * Invariants: rates rise strictly from 0; cores never fall; slopes rise strictly, so the curve is convex.
 */

export interface PowerCurve {
  /** Cores at rate 0: the first of `cores`. */
  readonly idleCores: number;
  /** Vertices, ascending, the first 0; requests of multiplier 1 per ms. */
  readonly ratesPerMs: Float64Array;
  /** Cores at each vertex. */
  readonly cores: Float64Array;
}

export interface PowerCurveOptions {
  /** Latency of a batch of multiplier 1, ms > 0; infinite for what cannot be run. Any shape: the hull takes what is cheapest. */
  readonly latencyMs: (batchSize: number, cpuMillicores: number) => number;
  readonly maxBatchSize: number;
  /** Every allocation that may be in force while a batch runs, millicores. */
  readonly allocations: readonly number[];
  /** The least that is held while nothing runs; the policy's own, so more than the grid's least if it never releases CPU. */
  readonly idleMillicores: number;
}

/**
 * O(N log N) in the N = maxBatchSize × allocations points.
 *
 * Where some allocation is below `idleMillicores` the curve starts at that allocation instead. Work that is not in the
 * bound (requests served late) may be run then, at less than idling costs, so only a curve that never falls stays a bound.
 */
export function powerCurve(options: PowerCurveOptions): PowerCurve {
  const { latencyMs, maxBatchSize, allocations, idleMillicores } = options;
  const points: Point[] = [];
  let leastCores = idleMillicores / 1000;
  for (const cpuMillicores of allocations) {
    const cores = cpuMillicores / 1000;
    for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) {
      const tookMs = latencyMs(batchSize, cpuMillicores);
      if (!(tookMs > 0)) {
        throw new RangeError(`latency of ${batchSize} on ${cpuMillicores} millicores must be > 0 ms, got ${tookMs}`);
      }
      if (tookMs === Number.POSITIVE_INFINITY) continue;
      points.push({ ratePerMs: batchSize / tookMs, cores });
      leastCores = Math.min(leastCores, cores);
    }
  }
  return lowerHull([{ ratePerMs: 0, cores: leastCores }, ...points]);
}

/** Where every batch takes so many times as long. @param slowdown > 0 */
export function slowedCurve({ idleCores, ratesPerMs, cores }: PowerCurve, slowdown: number): PowerCurve {
  return { idleCores, cores, ratesPerMs: ratesPerMs.map((ratePerMs) => ratePerMs / slowdown) };
}

/** Cores at a rate ≥ 0, linear between vertices; null above the top rate. O(log vertices). */
export function coresAt(curve: PowerCurve, ratePerMs: number): number | null {
  const { ratesPerMs, cores } = curve;
  if (!(ratePerMs >= 0)) throw new RangeError(`rate must be ≥ 0 per ms, got ${ratePerMs}`);
  let low = 0;
  let high = ratesPerMs.length - 1;
  if (ratePerMs > ratesPerMs[high]!) return null;
  // The last vertex at or below the rate.
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (ratesPerMs[middle]! <= ratePerMs) low = middle;
    else high = middle - 1;
  }
  const beyondPerMs = ratePerMs - ratesPerMs[low]!;
  return beyondPerMs === 0 ? cores[low]! : cores[low]! + beyondPerMs * slopeFrom(curve, low);
}

/** Cores per (request per ms) between a vertex and the next, which must exist. */
export function slopeFrom({ ratesPerMs, cores }: PowerCurve, vertex: number): number {
  return (cores[vertex + 1]! - cores[vertex]!) / (ratesPerMs[vertex + 1]! - ratesPerMs[vertex]!);
}

/**
 * P̂ of up to `maxInstances` equal instances, of which `minInstances` always exist and the others cost nothing while they
 * do not: the lower convex hull of k·P̂(r/k) over all allowed k.
 *
 * One instance's curve is not a bound for several: two at half of the rate cost 2·P̂(r/2), which is below P̂(r) wherever
 * P̂ is bent enough to pay for a second idle floor, and together they go beyond its top rate. With k instances at rates
 * that add up to r the cores are at least Σ P̂(rᵢ) ≥ k·P̂(r/k) (Jensen); k changes over time, hence the hull over k.
 *
 * Only the extreme counts make vertices: (r, k·P̂(r/k)) = k·(x, P̂(x)) with x = r/k lies on the segment between the same
 * multiple of (x, P̂(x)) by the least count and by the largest. O(vertices).
 *
 * @param minInstances integer in 0 … maxInstances; with 0 nothing is held at rate 0
 */
export function replicatedPowerCurve(curve: PowerCurve, maxInstances: number, minInstances = 1): PowerCurve {
  const isCount = Number.isInteger(minInstances) && Number.isInteger(maxInstances);
  if (!isCount || minInstances < 0 || maxInstances < Math.max(1, minInstances)) {
    throw new RangeError(`instances must be integers with 0 ≤ least ≤ most ≥ 1, got ${minInstances} … ${maxInstances}`);
  }
  const points: Point[] = [];
  for (const count of [minInstances, maxInstances]) {
    for (let vertex = 0; vertex < curve.cores.length; vertex++) {
      points.push({ ratePerMs: count * curve.ratesPerMs[vertex]!, cores: count * curve.cores[vertex]! });
    }
  }
  return lowerHull(points);
}

/** The part of a curve that so many cores allow: up to the rate that they sustain. */
export function upToCores(curve: PowerCurve, cores: number): PowerCurve {
  const last = curve.cores.length - 1;
  if (curve.cores[last]! <= cores) return curve;
  const kept = curve.cores.findIndex((each) => each > cores);
  if (kept === 0) throw new RangeError(`${cores} cores are less than the ${curve.idleCores} that are held at rate 0`);
  const beyond = (cores - curve.cores[kept - 1]!) / slopeFrom(curve, kept - 1);
  const isVertex = beyond === 0;
  const of = (vertices: Float64Array, end: number): Float64Array =>
    Float64Array.from([...vertices.subarray(0, kept), ...(isVertex ? [] : [end])]);
  return {
    idleCores: curve.idleCores,
    ratesPerMs: of(curve.ratesPerMs, curve.ratesPerMs[kept - 1]! + beyond),
    cores: of(curve.cores, cores),
  };
}

interface Point {
  readonly ratePerMs: number;
  readonly cores: number;
}

/** Lower convex hull from the leftmost to the rightmost point (Andrew's monotone chain, 1979). Needs a point. */
function lowerHull(points: Point[]): PowerCurve {
  points.sort((a, b) => a.ratePerMs - b.ratePerMs || a.cores - b.cores);
  const hull: Point[] = [];
  for (const point of points) {
    // Of equal rates the first is the cheapest.
    if (hull.at(-1)?.ratePerMs === point.ratePerMs) continue;
    while (hull.length >= 2 && !isBelowChord(hull.at(-2)!, hull.at(-1)!, point)) hull.pop();
    hull.push(point);
  }
  return {
    idleCores: hull[0]!.cores,
    ratesPerMs: Float64Array.from(hull, ({ ratePerMs }) => ratePerMs),
    cores: Float64Array.from(hull, ({ cores }) => cores),
  };
}

/** Whether `middle` is strictly below the straight line from `left` to `right`. */
function isBelowChord(left: Point, middle: Point, right: Point): boolean {
  const toMiddle = (middle.cores - left.cores) * (right.ratePerMs - left.ratePerMs);
  return toMiddle < (right.cores - left.cores) * (middle.ratePerMs - left.ratePerMs);
}
