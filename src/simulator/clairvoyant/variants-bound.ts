import { fluidEdfWork, type WindowedWork } from './fluid-bound.js';

/*
 * The most accuracy that anybody can answer with in time who knows all that is to come, with several variants on the same cores.
 *
 * A request that variant v answers takes at least w_v core-ms, v's least over all batches and allocations (`node-bound.ts`), within its
 * window; so cores that do C core-ms a ms are one machine, and relaxed to fluid work a request that got u of its work is worth f(u), the
 * least concave function above (0, 0) and all (w_v, a_v). What amounts of work can be done within the windows is a polymatroid (fluid EDF
 * does the most of any subset), on which a sum of concave functions is greatest where work is given in the order of what it is worth.
 * f is the same for all requests but for the scale of each one's service time, so with vertices u_0 = 0 < u_1 < … and slopes
 * s_1 > s_2 > … before them the most is
 *
 *     Σ_k s_k · (F(u_k) − F(u_{k−1})),   F(u): the most work within the windows where each request has u
 *
 * It is above what any policy can have in the sum over all requests, where a request that is lost counts nothing.
 */

interface PricedVariant {
  readonly accuracy: number;
  /** Of one request at the mean service time, at least. */
  readonly coreMs: number;
}

/**
 * @param work of each request its service-time multiplier
 * @param cores that all variants share
 */
export function mostAccuracy(variants: readonly PricedVariant[], work: WindowedWork, cores: number): number {
  let sum = 0;
  let doneBefore = 0;
  let vertexBefore: PricedVariant = { accuracy: 0, coreMs: 0 };
  for (const vertex of concave(variants)) {
    const done = fluidEdfWork(cores, { ...work, work: work.work.map((each) => each * vertex.coreMs) });
    const slope = (vertex.accuracy - vertexBefore.accuracy) / (vertex.coreMs - vertexBefore.coreMs);
    sum += slope * (done - doneBefore);
    doneBefore = done;
    vertexBefore = vertex;
  }
  return sum;
}

/** Vertices of the least concave function above the origin and all of them, by ascending work. */
function concave(variants: readonly PricedVariant[]): readonly PricedVariant[] {
  const vertices: PricedVariant[] = [];
  let from: PricedVariant = { accuracy: 0, coreMs: 0 };
  for (;;) {
    const { accuracy, coreMs } = from;
    const slopeTo = (each: PricedVariant): number => (each.accuracy - accuracy) / (each.coreMs - coreMs);
    const better = variants.filter((each) => each.coreMs > coreMs && each.accuracy > accuracy);
    if (better.length === 0) return vertices;
    from = better.reduce((best, each) => (slopeTo(each) > slopeTo(best) ? each : best));
    vertices.push(from);
  }
}
