import { unitMillicoresOf, type ChosenPolicy } from '../../scheduler/policies/chosen-policy.js';
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
    const { unit, cores, batch } = statedNumbers(policy);
    if (unit !== undefined && unitMillicoresOf(policy) !== limits.maxMillicores) {
      warn(`--unit-cores ${unit}: using ${limits.maxMillicores / 1000}, which can be granted`);
    }
    if (cores !== undefined && 1000 * cores > mostMillicores) warn(`--cpu ${cores}: using ${most}`);
    if (batch !== undefined && batch > pool.maxBatchSize) warn(`--batch ${batch}: using ${pool.maxBatchSize}`);
  }
}

function statedNumbers({ parameters, stated }: ChosenPolicy): Readonly<Partial<Record<string, number>>> {
  return Object.fromEntries(Object.entries(parameters.numbers).filter(([key]) => stated.has(key)));
}
