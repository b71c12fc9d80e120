import { cellIn, findCell, type Evaluation, type EvaluationCell } from '../evaluation.js';
import {
  PAPER_POLICIES,
  PAPER_SETTING,
  POLICIES,
  SERVICES,
  WORLDS,
  type EvaluatedPolicy,
  type EvaluationSetting,
} from '../evaluation-jobs.js';
import type { ExperimentResults } from '../experiment.js';
import { evaluationReasons } from './evaluation-reasons.js';
import { fixed, NONE, signed, spreadText, type ReportFigure, type ReportTable } from './figure.js';

export function evaluationFigure(results: ExperimentResults): ReportFigure {
  const { evaluation } = results;
  return {
    title: 'Evaluation: violations and cores',
    tables: [
      ...SERVICES.map((service) => publishedTable(evaluation, service)),
      ...SERVICES.map((service) => violationsTable(evaluation, service)),
      coresTable(evaluation),
    ],
    why: evaluationReasons(results),
  };
}

type Service = EvaluationSetting['service'];

const SERVICE_TITLES: Readonly<Record<Service, string>> = {
  fit: 'batches take 0.88 of the fitted P99',
  table: 'batches take the published means',
};

/** The paper's own setting and measure, policy by policy. */
function publishedTable(evaluation: Evaluation, service: Service): ReportTable {
  return {
    caption:
      'As in the paper: front-loaded seconds, delay subtracted, its measure with a drop limit of 3 s; ' +
      `${SERVICE_TITLES[service]} (${service})`,
    columns: ['policy', 'published %', 'ours %', 'difference', 'published cores', 'ours', 'difference'],
    rows: PAPER_POLICIES.map(({ key, title, recorded }) => {
      const { paperPercent, meanCores } = cellIn(evaluation, key, { service, ...PAPER_SETTING });
      const { violationPercent, meanCores: cores } = recorded!;
      return [
        title,
        String(violationPercent),
        spreadText(paperPercent, 2),
        signed(paperPercent.mean - violationPercent, 2),
        fixed(cores, 2),
        fixed(meanCores.mean, 2),
        signed(meanCores.mean - cores, 2),
      ];
    }),
  };
}

const WORLD_TITLES = ['front, subtr.', 'front, applied', 'Poisson, subtr.', 'Poisson, applied'] as const;

/** All four worlds, by the paper's measure and by ours. */
function violationsTable(evaluation: Evaluation, service: Service): ReportTable {
  return {
    caption:
      `Violations, %: the paper's measure | requests not answered within their remaining SLO; ` +
      `${SERVICE_TITLES[service]} (${service})`,
    columns: ['policy', 'published', ...WORLD_TITLES],
    rows: POLICIES.map((policy) => [
      policy.title,
      recordedText(policy, 'violationPercent'),
      ...WORLDS.map((world) => {
        const cell = cellIn(evaluation, policy.key, { service, ...world, releasesIdle: false });
        return `${fixed(cell.paperPercent.mean, 2)} | ${fixed(cell.violationPercent, 2)}`;
      }),
    ]),
  };
}

/** Held | with idle CPU given back. */
function coresTable(evaluation: Evaluation): ReportTable {
  const shown = [WORLDS[0], WORLDS[3]];
  return {
    caption: 'Mean cores: idle CPU kept, as in the paper | given back after 100 ms',
    columns: [
      'policy',
      'published',
      ...SERVICES.flatMap((service) => shown.map((world) => `${WORLD_TITLES[WORLDS.indexOf(world)]!} (${service})`)),
    ],
    rows: POLICIES.map((policy) => [
      policy.title,
      recordedText(policy, 'meanCores'),
      ...SERVICES.flatMap((service) =>
        shown.map((world) => {
          const [kept, released] = [false, true].map((releasesIdle) =>
            findCell(evaluation, policy.key, { service, ...world, releasesIdle }),
          );
          return `${coresText(kept)} | ${coresText(released)}`;
        }),
      ),
    ]),
  };
}

function coresText(cell: EvaluationCell | undefined): string {
  return cell === undefined ? NONE : fixed(cell.meanCores.mean, 2);
}

function recordedText({ recorded }: EvaluatedPolicy, what: 'violationPercent' | 'meanCores'): string {
  return recorded === null ? NONE : String(recorded[what]);
}
