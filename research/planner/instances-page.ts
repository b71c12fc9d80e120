import { markdownTable } from '../markdown-table.js';
import type { RunOrigin } from '../../src/reports/run-origin.js';
import { originText } from './planner-page.js';
import type { Outcome } from './cases.js';
import { instancesTargets, type InstancesResults } from './instances-experiment.js';
import { percentText, targetTable } from './target.js';

/* The numbers of several instances as a part of a Markdown page. */

export function instancesPage(results: InstancesResults, origin: RunOrigin): string {
  const { scenarios, held, frontier, ablation, compared } = results;
  return [
    originText(origin),
    '',
    'Batches take the published P99 × 0.88, cell by cell; an instance that rests holds 0.001 core. Seeds from 1001 on, on which nothing was chosen.',
    '',
    ...targetTable(instancesTargets(results)),
    '',
    'Mean cores, over what so many instances need at least, and violations of feasible requests, less those that nobody could avoid; and the requests of',
    'which each number is, with 2 and 4 instances and with the others.',
    '',
    ...markdownTable([
      ['scenario', ...held.map(({ key }) => titleOf(key)), 'requests'],
      ...scenarios.map((scenario, index) => [
        scenario,
        ...held.map(({ outcomes }) => boundText(outcomes[index]!)),
        requestsText(held.map(({ outcomes }) => outcomes[index]!)),
      ]),
    ]),
    '',
    '**How many pay.** Violations of feasible requests, % · mean cores · the same with 0.05 core charged for each instance that rests.',
    '',
    ...markdownTable([
      ['instances', ...scenarios],
      ...frontier.map(({ key, outcomes }) => [String(key), ...outcomes.map(floorText)]),
    ]),
    '',
    '**What each part is worth**, two instances, one part left out at a time: violations of feasible requests, % · core-seconds over the bound of two. Who loses many needs less than the bound for all.',
    '',
    ...markdownTable([
      ['', ...ablation.scenarios],
      ...ablation.rows.map(({ key, outcomes }) => [key, ...outcomes.map(ratioText)]),
    ]),
    '',
    '**What others need** on the same requests: violations of feasible ones, % · mean cores, all that they hold.',
    '',
    ...markdownTable([
      ['', ...compared.scenarios],
      ...compared.rows.map(({ key, outcomes }) => [`\`${key}\``, ...outcomes.map(coresText)]),
    ]),
    '',
  ].join('\n');
}

function titleOf(count: number): string {
  if (count === 0) return "the authors' released code";
  return count === 1 ? 'one worker' : `${count} instances`;
}

function boundText({ summary, toOwnReference, ownUnavoidable }: Outcome): string {
  const above = Math.max(0, summary.violationRateFeasible - ownUnavoidable);
  return `${summary.meanCores.toFixed(2)} (${toOwnReference.toFixed(3)} ×), ${percentText(above)} %`;
}

function requestsText(outcomes: readonly Outcome[]): string {
  const counts = [...new Set(outcomes.map(({ summary }) => summary.sent))].sort((a, b) => b - a);
  return counts.map((each) => each.toLocaleString('en')).join('; ');
}

function floorText({ summary }: Outcome): string {
  const withFloor = (summary.meanCores * summary.coreSecondsWithFloor) / summary.coreSeconds;
  return `${percentText(summary.violationRateFeasible)} · ${summary.meanCores.toFixed(2)} · ${withFloor.toFixed(2)}`;
}

function ratioText({ summary, toOwnReference }: Outcome): string {
  return `${percentText(summary.violationRateFeasible)} · ${toOwnReference.toFixed(3)}`;
}

function coresText({ summary }: Outcome): string {
  return `${percentText(summary.violationRateFeasible)} · ${summary.meanCores.toFixed(2)}`;
}
