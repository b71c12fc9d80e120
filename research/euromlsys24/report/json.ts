import type { RunOrigin } from '../../../src/reports/run-origin.js';
import type { ExperimentResults } from '../experiment.js';
import { reportFigures } from './figures.js';

/** All that is known of a run but its columns by second, which are in the CSV files. */
export function resultsJson(results: ExperimentResults, origin: RunOrigin): string {
  const { plan, evaluation, ...computed } = results;
  const { seeds, durationSec, network } = plan;
  const why = Object.fromEntries(
    Object.entries(reportFigures(results)).map(([name, figure]) => [name, Object.fromEntries(figure.why)]),
  );
  const value = {
    experiment: 'euromlsys24',
    origin,
    seeds,
    durationSec,
    network: { kind: network.kind, description: network.description },
    ...computed,
    evaluation: evaluation.cells,
    why,
  };
  return `${JSON.stringify(value, (key, each: unknown) => (key.endsWith('BySecond') ? undefined : each), 2)}\n`;
}
