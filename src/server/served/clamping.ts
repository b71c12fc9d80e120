import type { ServedModel } from './served-model.js';
import type { ServerOptions } from '../server-options.js';

/** What was asked for and cannot be is said once, not silently changed. */
export function warnOfClamping(
  models: readonly ServedModel[],
  { logger, minMillicores, maxMillicores, policy }: ServerOptions,
): void {
  for (const { source, limits, pool, scaling, sharesCores } of models) {
    const mostMillicores = scaling.scaler.limits.maxMillicores;
    const warn = (line: string): void => logger.warn({ model: source.name, version: source.version }, line);
    const most = `${mostMillicores / 1000} cores, the most there is${models.length > 1 && !sharesCores ? ' for this model' : ''}`;
    if (maxMillicores !== null && maxMillicores > mostMillicores && (models.length === 1 || sharesCores)) {
      warn(`--max-cores ${maxMillicores / 1000}: using ${most}`);
    }
    if (minMillicores > mostMillicores) warn(`--min-cores ${minMillicores / 1000}: using ${most}`);
    if (policy.name === 'fa2' && policy.unitMillicores !== null && policy.unitMillicores !== limits.maxMillicores) {
      warn(`--unit-cores ${policy.unitMillicores / 1000}: using ${limits.maxMillicores / 1000}, which can be granted`);
    }
    if (policy.name !== 'static') continue;
    if (policy.cpuMillicores > mostMillicores) warn(`--cpu ${policy.cpuMillicores / 1000}: using ${most}`);
    if (policy.batchSize > pool.maxBatchSize) warn(`--batch ${policy.batchSize}: using ${pool.maxBatchSize}`);
  }
}
