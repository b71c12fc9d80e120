import { ACCURACY_COLUMNS, PIPELINE_COLUMNS, POLICY_COLUMNS } from '../reports/policy-columns.js';
import type { ScenarioFile } from '../simulator/comparison/simulate.js';
import type { SimulationSummary } from '../simulator/comparison/summary.js';

/** What `sponge simulate` prints: a line a policy, and what the columns mean. */
export function simulationTable({ scenario, name }: ScenarioFile, summary: SimulationSummary): string {
  const { policies, referenceCoreSeconds, referenceReason } = summary;
  const first = policies[0]!;
  const isPipeline = first.work !== undefined;
  const several = policies.some(({ instances }) => instances > 1) ? '; of several, at which so many could' : '';
  const reference =
    referenceCoreSeconds === null
      ? `none: ${referenceReason ?? ''}`
      : scenario.variants !== undefined
        ? `${referenceCoreSeconds.toFixed(0)} core-seconds: the least for all feasible requests, by the cheapest variant`
        : `${referenceCoreSeconds.toFixed(0)} core-seconds: the least at which one instance could answer all feasible requests on time${several}`;
  const columns = [
    ...POLICY_COLUMNS,
    ...(isPipeline ? PIPELINE_COLUMNS : []),
    ...(scenario.variants === undefined ? [] : ACCURACY_COLUMNS),
  ];
  const rows = [
    ['policy', ...columns.map(({ heading }) => heading)],
    ['', ...columns.map(({ unit }) => unit ?? '')],
    ...policies.flatMap((policy) => [
      [policy.policy, ...columns.map(({ text }) => text(policy, referenceCoreSeconds))],
      ...(policy.models ?? []).map((each) => [`  ${each.model!}`, ...columns.map(({ text }) => text(each, null))]),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const table = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  return [
    `${name}: ${scenario.title}`,
    `${first.sent} requests a policy, ${first.infeasibleOnArrival} of them infeasible on arrival; ${seedsText(summary)}`,
    '',
    ...table,
    '',
    `reference   ${reference}`,
    'violations  requests not answered within their SLO, of all whose clients stayed; of those that were feasible on arrival',
    'bound       the least core-seconds for what this policy answered on time, at the fastest service time of its run',
    ...(isPipeline
      ? [
          'lost work   core-seconds of batches and functions for requests that were not answered in time; bound mean: at the mean service time',
        ]
      : []),
    `events      ${summary.eventHash}; ${Math.round(summary.simulatedRequestsPerSec).toLocaleString('en')} requests/s simulated`,
    '',
  ].join('\n');
}

function seedsText({ seed, seeds }: SimulationSummary): string {
  return seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`;
}
