import type { LatencyGrid } from '../../scheduler/domain/demand-report.js';
import { exactLatency, type LatencyModel } from '../../scheduler/domain/latency.js';

/** As a pod told it: between points linear in the batch size and in 1/cores, of which the latency formula is made; beyond them as at the end. */
export function latencyOf({ batchSizes, millicores, plannedMs }: LatencyGrid): LatencyModel {
  return exactLatency((batchSize, cpuMillicores) => {
    const cores = between(millicores, cpuMillicores, (value) => 1 / value);
    const onCores = (row: number): number => {
      const own = plannedMs[row]!;
      return own[cores.low]! + cores.part * (own[cores.high]! - own[cores.low]!);
    };
    const sizes = between(batchSizes, batchSize, (value) => value);
    return onCores(sizes.low) + sizes.part * (onCores(sizes.high) - onCores(sizes.low));
  });
}

/** The points around a value, and how far it is from one to the other by a scale. */
function between(
  points: readonly number[],
  value: number,
  scale: (value: number) => number,
): { readonly low: number; readonly high: number; readonly part: number } {
  const last = points.length - 1;
  if (value <= points[0]!) return { low: 0, high: 0, part: 0 };
  if (value >= points[last]!) return { low: last, high: last, part: 0 };
  const high = points.findIndex((point) => point >= value);
  const [from, to] = [scale(points[high - 1]!), scale(points[high]!)];
  return { low: high - 1, high, part: (scale(value) - from) / (to - from) };
}
