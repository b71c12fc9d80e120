import type { RunOrigin } from '../../src/reports/run-origin.js';
import { markdownTable } from '../markdown-table.js';
import { originText } from '../planner/planner-page.js';
import { percentText, targetTable } from '../planner/target.js';
import { accuracyOfAll, variantsTargets, type VariantsResults, type VariantsRow } from './variants-experiment.js';

/* The numbers of variants as a part of a Markdown page. */

export function variantsPage(results: VariantsResults, origin: RunOrigin): string {
  const { seeds } = results;
  return [
    originText(origin),
    '',
    `Seeds 3001 to ${3000 + seeds}, pooled, none of which anything was tuned on. Violations of feasible requests in %, with 95 % intervals (Wilson).`,
    'Accuracy: the mean over answers in time, and its spread over the seeds. Of all: the mean over all requests, those that are lost as none. Of the most: that over what fluid work could have at most.',
    '',
    ...targetTable(variantsTargets(results)),
    ...results.cases.flatMap(({ scenario, load, isAtAccuracy, rows }) => [
      '',
      `### ${scenario.replace('variants-', '')} at load ${load}${isAtAccuracy ? `, asked for ${/[\d.]+/.exec(rows[0]!.policy)![0]}` : ''}`,
      '',
      ...markdownTable([
        ['', 'violations', 'accuracy', 'of all', 'of the most', 'core-s', 'batch', 'by ResNet-10 / 18 / 34'],
        ...rows.map(cellsOf),
      ]),
    ]),
  ].join('\n');
}

function cellsOf({ policy, summary, accuracies }: VariantsRow): readonly string[] {
  const {
    violationRateFeasible,
    violationRateFeasible95,
    meanAccuracy,
    accuracyToMost,
    coreSeconds,
    meanBatch,
    answered,
  } = summary;
  const [least, most] = violationRateFeasible95;
  const onTime = answered!.reduce((sum, each) => sum + each.onTime, 0);
  const spread = Math.max(...accuracies) - Math.min(...accuracies);
  return [
    `\`${policy}\``,
    `${percentText(violationRateFeasible)} (${percentText(least)} – ${percentText(most)})`,
    meanAccuracy === null || meanAccuracy === undefined
      ? '–'
      : `${meanAccuracy.toFixed(2)} ± ${(spread / 2).toFixed(2)}`,
    accuracyOfAll(summary).toFixed(2),
    accuracyToMost!.toFixed(4),
    coreSeconds.toFixed(0),
    meanBatch.toFixed(1),
    answered!.map((each) => `${((100 * each.onTime) / Math.max(1, onTime)).toFixed(0)} %`).join(' / '),
  ];
}
