import type { RunOrigin } from '../../src/reports/run-origin.js';
import { markdownTable } from '../markdown-table.js';
import { originText } from '../planner/planner-page.js';
import { targetTable } from '../planner/target.js';
import { pipelinesTargets, type Estimate, type PipelineCase, type PipelinesResults } from './pipelines-experiment.js';

/* The numbers of pipelines as a part of a Markdown page. */

export function pipelinesPage(results: PipelinesResults, origin: RunOrigin): string {
  return [
    originText(origin),
    '',
    'Every row meets the same requests; seeds from 2001 on, on which nothing was chosen. `±` is the 95 % interval over the seeds.',
    '',
    ...targetTable(pipelinesTargets(results)),
    ...results.cases.flatMap(caseLines),
  ].join('\n');
}

function caseLines({ scenario, load, seeds, durationSec, rows }: PipelineCase): readonly string[] {
  const sent = rows[0]!.sent.toLocaleString('en');
  return [
    '',
    `### ${scenario} at ${load} of capacity`,
    '',
    `${sent} requests a row, ${seeds} ${seeds === 1 ? 'seed' : 'seeds'} of ${durationSec} s.`,
    '',
    ...markdownTable([
      ['', 'in time of 100', 'work lost of 100', 'core-seconds', 'of the bound', 'of the strict bound'],
      ...rows.map(({ title, policy, onTime, lostWork, coreSeconds, overMeanBound, overBound }) => [
        title.toLowerCase() === policy ? title : `${title} \`${policy}\``,
        percent(onTime),
        percent(lostWork),
        Math.round(coreSeconds).toLocaleString('en'),
        `${overMeanBound.value.toFixed(3)} ± ${overMeanBound.halfWidth.toFixed(3)}`,
        overBound === null ? '–' : overBound.toFixed(2),
      ]),
    ]),
  ];
}

function percent({ value, halfWidth }: Estimate): string {
  return `${(100 * value).toFixed(2)} ± ${(100 * halfWidth).toFixed(2)}`;
}
