import { markdownTable } from '../markdown-table.js';
import type { RunOrigin } from '../../src/reports/run-origin.js';
import type { Outcome } from './cases.js';
import { nodeTargets, type NodeResults, type PolicyLoads } from './node-experiment.js';
import { originText } from './planner-page.js';
import { percentText, targetTable } from './target.js';

/* The numbers of a node of several models as a part of a Markdown page. */

export function nodePage(results: NodeResults, origin: RunOrigin): string {
  const { loads, scenarios, seeds } = results;
  return [
    originText(origin),
    '',
    ...targetTable(nodeTargets(results)),
    '',
    'Violations of feasible requests, % · mean cores of eight, all that is held, by load: at 1 the least that all requests cost is all of the cores. The',
    'bound is the least that so many instances of each model need, and what of the requests nobody could answer in time on all cores. `vpa`, `fa2` and',
    `\`themis\` have the shares that hindsight gives them. Seeds 1001 to ${1000 + seeds}.`,
    '',
    ...scenarios.flatMap(({ scenario, policies }) => [
      `\`${scenario}\`, ${requestsText(policies[0]!.outcomes)} requests a policy:`,
      '',
      ...markdownTable([
        ['', ...loads.map((load) => load.toFixed(1)), 'carries'],
        ['bound', ...policies[0]!.outcomes.map(boundText), ''],
        ...policies.map((each) => [`\`${each.policy}\``, ...each.outcomes.map(lossText), carriedText(each, loads)]),
      ]),
      '',
    ]),
    '**Who pays**: violations of feasible requests of each model, %, by us.',
    '',
    ...scenarios.flatMap(({ scenario, policies }) => [
      `\`${scenario}\`:`,
      '',
      ...markdownTable([['', ...loads.map((load) => load.toFixed(1))], ...modelRows(policies[0]!)]),
      '',
    ]),
  ].join('\n');
}

function requestsText(outcomes: readonly Outcome[]): string {
  const counts = outcomes.map(({ summary }) => summary.sent.toLocaleString('en'));
  return `${counts[0]!} to ${counts.at(-1)!}`;
}

function boundText({ summary, toOwnReference, ownUnavoidable }: Outcome): string {
  return `${percentText(ownUnavoidable)} · ${(summary.meanCores / toOwnReference).toFixed(2)}`;
}

function lossText({ summary }: Outcome): string {
  return `${percentText(summary.violationRateFeasible)} · ${summary.meanCores.toFixed(2)}`;
}

function carriedText({ carried }: PolicyLoads, loads: readonly number[]): string {
  return carried === null ? `< ${loads[0]!}` : carried.toFixed(2);
}

function modelRows({ outcomes }: PolicyLoads): string[][] {
  const names = outcomes[0]!.summary.models!.map(({ model }) => model!);
  return names.map((name, index) => [
    name,
    ...outcomes.map(({ summary }) => percentText(summary.models![index]!.violationRateFeasible)),
  ]);
}
