/*
 * What an instance's time is worth to those who would be lost for want of it.
 *
 * On all the cores that it can have, a batch of n takes x = l(n)/n of an instance's time for each request, and y = lost/n is what it costs
 * in others who come while it runs and whose budgets cannot outlast it. Where budgets are tight a short batch loses the fewest of those,
 * and does the least: if each were chosen for itself, more would come than is done, and whoever is then given up is lost too. What
 * k instances are to be at, then, is the least mean loss at which they keep up with a rate r, so that a request takes no more than x* = k/r;
 * who is given up takes no time and is a loss, (0, 1). That least is on the lower convex hull of all (x, y), and the price of time is how
 * steeply the hull falls at x*: with it, the batches at both ends of that piece cost the same and all others more, so each start may be
 * decided by itself.
 *
 * Where cores can be added this is 0 up to what the least lossy batch keeps up with on all of them; what the cores themselves cost is the
 * matter of `time-price.ts`.
 */

export interface LossQuestion {
  /** What a batch takes on all the cores that an instance can have, ms. */
  readonly runMs: (batchSize: number) => number;
  readonly maxBatchSize: number;
  /** What all instances have to keep up with, requests per ms. */
  readonly ratePerMs: number;
  readonly instanceCount: number;
  /** Of those who come while a batch runs for so long, the expected number that is lost by it. */
  readonly lostBy: (runMs: number) => number;
}

/** Batches do not fill by the clock: so much more than comes is to be kept up with. */
const SAFETY = 1.15;

/** Requests per ms of an instance's time, ≥ 0. O(batch sizes), a few times. */
export function priceOfLosses({ runMs, maxBatchSize, ratePerMs, instanceCount, lostBy }: LossQuestion): number {
  if (ratePerMs === 0) return 0;
  const points: Point[] = [];
  for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) {
    const tookMs = runMs(batchSize);
    points.push({ timeMs: tookMs / batchSize, lost: lostBy(tookMs) / batchSize });
  }
  return slopeAt(instanceCount / (SAFETY * ratePerMs), points);
}

/** Of one request in such batches. */
interface Point {
  readonly timeMs: number;
  readonly lost: number;
}

const GIVEN_UP: Point = { timeMs: 0, lost: 1 };
const ROUNDING = 1e-9;

/**
 * How steeply the lower hull of the points and of giving up falls at a time; 0 from its lowest point on. From both sides the piece above
 * that time is closed in on: the point furthest below the chord takes the place of one of its ends.
 */
function slopeAt(timeMs: number, points: readonly Point[]): number {
  let left = GIVEN_UP;
  let right = leastAt(0, points);
  if (right.timeMs <= timeMs || right.lost >= left.lost) return 0;
  for (;;) {
    const slope = (left.lost - right.lost) / (right.timeMs - left.timeMs);
    const next = leastAt(slope, points);
    if (next.lost + slope * next.timeMs >= right.lost + slope * right.timeMs - ROUNDING) return slope;
    if (next.timeMs <= timeMs) left = next;
    else right = next;
  }
}

/** Of equals the one that takes the least time. */
function leastAt(slope: number, points: readonly Point[]): Point {
  let best = points[0]!;
  for (const point of points) {
    const more = point.lost + slope * point.timeMs - (best.lost + slope * best.timeMs);
    if (more < 0 || (more === 0 && point.timeMs < best.timeMs)) best = point;
  }
  return best;
}
