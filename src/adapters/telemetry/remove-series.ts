import type { Counter, Gauge, Histogram } from 'prom-client';

type Metric = Counter | Gauge | Histogram;
type Labels = Readonly<Record<string, string>>;

/**
 * Removes every series that has these labels, whatever its other ones are. prom-client knows no such removal, and lists what there is
 * only in a promise.
 * @param isGone asked again before any is removed: whoever has the labels may have come back
 */
export async function removeSeries(metrics: readonly Metric[], labels: Labels, isGone: () => boolean): Promise<void> {
  const listed = await Promise.all(metrics.map(async (metric) => ({ metric, values: (await metric.get()).values })));
  if (!isGone()) return;
  for (const { metric, values } of listed) {
    for (const { labels: its } of values) {
      if (Object.entries(labels).some(([name, value]) => its[name] !== value)) continue;
      // A histogram lists its buckets, which are one series with it.
      metric.remove(Object.fromEntries(Object.entries(its).filter(([name]) => name !== 'le')));
    }
  }
}
