import type { RunOrigin } from '../../../src/reports/run-origin.js';
import type { ExperimentResults } from '../experiment.js';
import { reportFigures } from './figures.js';
import { aboutRun, WORDS } from './head.js';
import { summaryTable } from './summary.js';
import { figuresText, tableText, wrapped } from './text.js';

const WIDTH = 118;

/** What `npm run research -- euromlsys24` prints. */
export function textReport(results: ExperimentResults, origin: RunOrigin): string {
  return [
    ...originLines(origin),
    '',
    wrapped(aboutRun(results), WIDTH, ''),
    '',
    ...WORDS.map(([word, meaning]) => wrapped(`${word}: ${meaning}`, WIDTH, '')),
    '',
    tableText(summaryTable(results)),
    '',
    figuresText(Object.values(reportFigures(results))),
  ].join('\n');
}

export function originLines({ command, seeds, commit, version, date, machine, tookSeconds }: RunOrigin): string[] {
  const took = tookSeconds === undefined ? '' : `, ${tookSeconds.toFixed(0)} s`;
  return [
    `command: ${command}`,
    `seeds:   ${seeds}`,
    `code:    sponge-inference ${version}${commit === null ? '' : `, commit ${commit}`}`,
    `date:    ${date.slice(0, 16).replace('T', ' ')} UTC${took}; ${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}`,
  ];
}
