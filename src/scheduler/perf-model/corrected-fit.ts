import type { LatencyCurve, LatencyPoint } from './curve.js';
import { fittedLatencyMs, type LatencyCoefficients } from './fit.js';
import { MonotoneTable } from './table.js';

/*
 * The four-term fit, corrected by what was measured: at a measured cell it says what the cell says, between cells the fit's form with
 * the neighbours' corrections, beyond them the fit's form from the edge on.
 *
 * Why: the fit is wrong about whole regions. One request of YOLOv5s on one core takes 12 % less than its fit, and planners that choose
 * among cheap batches choose by just such differences.
 *
 * The correction is the mean of the cells' ln(measured / fit), weighted by 1/d⁴ in ln b and ln c (Shepard, "A two-dimensional
 * interpolation function for irregularly-spaced data", 1968), and shrunk by as much of their variance as chance alone would give them, the
 * error of a median of few runs: cells that follow the fit are not led astray by it. What it breaks of the order, latency growing in b and falling in c, is
 * repaired by the table that it is laid out in.
 */

/** Batch sizes that are laid out one by one; between larger ones the table is linear. */
const EVERY_SIZE_UP_TO = 16;

export class CorrectedFit implements LatencyCurve {
  readonly #fit: LatencyCoefficients;
  readonly #table: MonotoneTable;
  readonly #batchSizes: readonly [least: number, most: number];
  readonly #millicores: readonly [least: number, most: number];

  /**
   * @param points at least one, latencies > 0; at most one per (b, c)
   * @param noiseVariance of the logarithm of a point's latency by chance; 0 where it is known exactly
   */
  constructor(fit: LatencyCoefficients, points: readonly LatencyPoint[], noiseVariance = 0) {
    this.#fit = fit;
    const batchSizes = [...new Set(points.map(({ batchSize }) => batchSize))].sort((a, b) => a - b);
    const millicores = [...new Set(points.map(({ cpuMillicores }) => cpuMillicores))].sort((a, b) => a - b);
    this.#batchSizes = [batchSizes[0]!, batchSizes.at(-1)!];
    this.#millicores = [millicores[0]!, millicores.at(-1)!];
    const sizes = new Set(batchSizes);
    for (let size = batchSizes[0]!; size <= Math.min(EVERY_SIZE_UP_TO, batchSizes.at(-1)!); size++) sizes.add(size);
    const corrections = points.map((point) => ({
      logSize: Math.log(point.batchSize),
      logCores: Math.log(point.cpuMillicores),
      logRatio: Math.log(point.latencyMs / fittedLatencyMs(fit, point.batchSize, point.cpuMillicores)),
    }));
    const variance = corrections.reduce((sum, { logRatio }) => sum + logRatio ** 2, 0) / corrections.length;
    const trust = variance === 0 ? 0 : Math.max(0, 1 - noiseVariance / variance);
    const virtual = [...sizes].flatMap((batchSize) =>
      withMiddles(millicores).map((cpuMillicores) => ({
        batchSize,
        cpuMillicores,
        latencyMs:
          fittedLatencyMs(fit, batchSize, cpuMillicores) *
          Math.exp(trust * interpolated(corrections, Math.log(batchSize), Math.log(cpuMillicores))),
      })),
    );
    this.#table = new MonotoneTable(virtual);
  }

  latencyMs(batchSize: number, cpuMillicores: number): number {
    const size = Math.min(Math.max(batchSize, this.#batchSizes[0]), this.#batchSizes[1]);
    const millicores = Math.min(Math.max(cpuMillicores, this.#millicores[0]), this.#millicores[1]);
    const inside = this.#table.latencyMs(size, millicores);
    if (size === batchSize && millicores === cpuMillicores) return inside;
    return (
      (inside * fittedLatencyMs(this.#fit, batchSize, cpuMillicores)) / fittedLatencyMs(this.#fit, size, millicores)
    );
  }
}

interface CellCorrection {
  readonly logSize: number;
  readonly logCores: number;
  /** ln(measured / fit). */
  readonly logRatio: number;
}

function interpolated(cells: readonly CellCorrection[], logSize: number, logCores: number): number {
  let [sum, weights] = [0, 0];
  for (const cell of cells) {
    const distance = (cell.logSize - logSize) ** 2 + (cell.logCores - logCores) ** 2;
    if (distance < 1e-12) return cell.logRatio;
    const weight = 1 / distance ** 2;
    sum += weight * cell.logRatio;
    weights += weight;
  }
  return sum / weights;
}

/** And between each two of them their geometric middle. */
function withMiddles(millicores: readonly number[]): number[] {
  return millicores.flatMap((each, index) =>
    index === 0 ? [each] : [Math.round(Math.sqrt(each * millicores[index - 1]!)), each],
  );
}
