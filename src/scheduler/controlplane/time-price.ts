/*
 * What an hour of one instance is worth, in cores.
 *
 * P̂(v) is the least cores at which one instance sustains a rate v (`power-curve.ts`), k of them sustain r with k·P̂(r/k), and one
 * more of them saves d/dk = ρ·P̂'(ρ) − P̂(ρ) at ρ = r/k: that is the price of an instance's time. It is 0 as long as the rate of one
 * core at its best batch suffices: then a batch runs on one core, however long it takes.
 *
 * P̂ of a measured table has long straight pieces, on which the price is constant: it is a step, and must not be interpolated
 * (everything would run on the dear end of each piece).
 */
import type { LatencyModel } from '../domain/latency.js';
import { powerCurve, slopeFrom, slowedCurve, type PowerCurve } from '../perf-model/power-curve.js';

/** Relative change of the latencies at both ends of the curve from which on it is another one. */
const DRIFT = 0.02;

interface Drawn {
  readonly levels: readonly number[];
  readonly maxBatchSize: number;
  readonly slowMs: number;
  readonly fastMs: number;
  readonly curve: PowerCurve;
  /** As it was used last: what takes so many times as long. */
  slowdown: number;
  slowed: PowerCurve;
}

/**
 * Curves of the models that are asked for; drawn anew when a model has changed by more than a little. One that has become slower or
 * faster as a whole, as a correction from a batch makes it, keeps its shape: of a tiny model every second batch does that.
 */
export class TimePrices {
  readonly #drawn = new WeakMap<LatencyModel, Drawn>();

  /**
   * @param levels allocations, millicores, ascending: few enough to evaluate each
   * @param ratePerMs of one instance   @returns cores; that of the steepest piece where the rate is beyond the curve
   */
  priceOf(model: LatencyModel, levels: readonly number[], maxBatchSize: number, ratePerMs: number): number {
    const curve = this.curveOf(model, levels, maxBatchSize);
    const last = curve.ratesPerMs.length - 1;
    let vertex = 0;
    while (vertex < last - 1 && curve.ratesPerMs[vertex + 1]! < ratePerMs) vertex += 1;
    return last === 0 ? 0 : Math.max(0, slopeFrom(curve, vertex) * curve.ratesPerMs[vertex]! - curve.cores[vertex]!);
  }

  /** Of a request at the batch size and allocation where it costs least. @param levels as for `priceOf` */
  leastCoreMs(model: LatencyModel, levels: readonly number[], maxBatchSize: number): number {
    const curve = this.curveOf(model, levels, maxBatchSize);
    return curve.cores.length === 1 ? Infinity : slopeFrom(curve, 0);
  }

  /** P̂ of one instance; nothing is held at rate 0. */
  curveOf(model: LatencyModel, levels: readonly number[], maxBatchSize: number): PowerCurve {
    const slowMs = model.predictedLatencyMs(1, levels[0]!);
    const fastMs = model.predictedLatencyMs(maxBatchSize, levels.at(-1)!);
    const known = this.#drawn.get(model);
    if (known?.levels === levels && known.maxBatchSize === maxBatchSize) {
      const slowdown = slowMs / known.slowMs;
      if (isClose(slowdown * known.fastMs, fastMs)) return slowedTo(known, slowdown);
    }
    const curve = powerCurve({
      // A model that knows nothing yet takes no time.
      latencyMs: (batchSize, cpuMillicores) => Math.max(1e-3, model.predictedLatencyMs(batchSize, cpuMillicores)),
      maxBatchSize,
      allocations: levels,
      idleMillicores: 0,
    });
    this.#drawn.set(model, { levels, maxBatchSize, slowMs, fastMs, curve, slowdown: 1, slowed: curve });
    return curve;
  }
}

function slowedTo(drawn: Drawn, slowdown: number): PowerCurve {
  if (!isClose(slowdown, drawn.slowdown)) {
    drawn.slowdown = slowdown;
    drawn.slowed = slowedCurve(drawn.curve, slowdown);
  }
  return drawn.slowed;
}

function isClose(one: number, other: number): boolean {
  return Math.abs(one / other - 1) < DRIFT;
}

/**
 * Below a core a batch costs about the same CPU and only takes longer, throttled in every quota period: it is started on less only
 * where no more is left.
 */
const WHOLE_CORE_MILLICORES = 1000;

/** Allocations worth looking at: from a core on, in steps of 5 %, rounded up to what can be granted. */
export function allocationLevels(limits: {
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
}): readonly number[] {
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const stepUp = (millicores: number): number =>
    minMillicores + Math.ceil((millicores - minMillicores) / stepMillicores - 1e-9) * stepMillicores;
  const levels: number[] = [];
  let level = stepUp(Math.max(minMillicores, WHOLE_CORE_MILLICORES));
  while (level < maxMillicores) {
    levels.push(level);
    level = stepUp(Math.max(level * 1.05, level + stepMillicores));
  }
  return [...levels, maxMillicores];
}
