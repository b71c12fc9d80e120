import { csvText, type CsvValue } from '../../../src/reports/csv-text.js';
import { cellIn, resultsIn } from '../evaluation.js';
import { PAPER_POLICIES, PAPER_SETTING, POLICIES, SERVICES } from '../evaluation-jobs.js';
import type { ExperimentResults } from '../experiment.js';
import { TERMS } from '../latency-fits.js';

/* A file a figure, with the raw numbers. Columns carry their units; what a published cell does not have is empty. */

/** File name → text. @param head lines that say where the numbers come from; they begin the file as comments */
export function csvFiles(results: ExperimentResults, head: readonly string[]): ReadonlyMap<string, string> {
  const tables: readonly (readonly [
    name: string,
    columns: readonly string[],
    rows: readonly (readonly CsvValue[])[],
  ])[] = [
    ['latency-fits', ...fits(results)],
    ['released-decisions', ...releasedDecisions(results)],
    ['fa2-decisions', ...fa2Decisions(results)],
    ['communication-latency', ...communicationLatency(results)],
    ['remaining-slo', ...remainingSlo(results)],
    ['rule-replays', ...ruleReplays(results)],
    ['evaluation', ...evaluation(results)],
    ['evaluation-by-second', ...evaluationBySecond(results)],
  ];
  const comments = head.map((line) => `# ${line}\n`).join('');
  return new Map(tables.map(([name, columns, rows]) => [`${name}.csv`, comments + csvText(columns, rows)]));
}

type Table = readonly [columns: readonly string[], rows: readonly (readonly CsvValue[])[]];

function fits({ fits: all }: ExperimentResults): Table {
  const names = [...TERMS, 'r2', 'meanErrorPercent', 'maxErrorPercent'] as const;
  return [
    ['profile', 'table', 'quantile', 'whose', ...names],
    all.flatMap(({ published, coefficients, r2, meanErrorPercent, maxErrorPercent, robust }) => {
      const start = [published.title, published.profile, published.quantile];
      const quality = (each: typeof robust | typeof published): CsvValue[] => [
        ...TERMS.map((term) => each.coefficients[term]),
        each.r2,
        each.meanErrorPercent,
        each.maxErrorPercent,
      ];
      return [
        [...start, 'published', ...quality(published)],
        [...start, 'ours', ...TERMS.map((term) => coefficients[term]), r2, meanErrorPercent, maxErrorPercent],
        [...start, 'robust', ...quality(robust)],
      ];
    }),
  ];
}

function releasedDecisions({ releasedDecisions: all }: ExperimentResults): Table {
  return [
    ['load', 'networkDelayMs', 'publishedCores', 'publishedBatchSize', 'cores', 'batchSize', 'latencyMs'],
    all.flatMap(({ published, decisions }) =>
      decisions.map((each) => [
        published.title,
        each.networkDelayMs,
        each.published?.cores ?? null,
        each.published?.batchSize ?? null,
        each.ours?.cores ?? null,
        each.ours?.batchSize ?? null,
        each.latencyMs,
      ]),
    ),
  ];
}

function fa2Decisions({ fa2Decisions: all }: ExperimentResults): Table {
  return [
    ['remainingSloMs', 'publishedInstances', 'instances', 'batchSize', 'publishedLoggedMs', 'loggedMs'],
    all.map((each) => [
      each.remainingSloMs,
      each.publishedInstances,
      each.ourInstances,
      each.ourBatchSize,
      each.publishedLoggedMs,
      each.ourLoggedMs,
    ]),
  ];
}

function communicationLatency({ remainingSlo: all }: ExperimentResults): Table {
  const measures = ['meanMs', 'p99Ms', 'maxMs', 'worstRemainingSec'] as const;
  return [
    ['bytes', 'measure', 'published', 'mean', 'least', 'most'],
    all.flatMap((each) =>
      measures.map((measure) => {
        const { mean, least, most } = each[measure];
        return [each.published.bytes, measure, each.published[measure], mean, least, most];
      }),
    ),
  ];
}

/** Of the first seed. */
function remainingSlo({ remainingSlo: all }: ExperimentResults): Table {
  return [
    ['second', ...all.map(({ published }) => `remainingMs_${published.bytes}_bytes`)],
    all[0]!.remainingMsBySecond.map((_, second) => [
      second,
      ...all.map(({ remainingMsBySecond }) => remainingMsBySecond[second]!),
    ]),
  ];
}

function ruleReplays({ replays, plan }: ExperimentResults): Table {
  const { released, fa2 } = replays;
  return [
    ['rule', 'seed', 'meanCores', 'infeasibleSec', 'coreChanges', 'secByBatchSizeOrInstances'],
    [
      ...released.flatMap(({ model, published, bySeed }): CsvValue[][] => [
        [
          `released, ${model.profile}`,
          'published',
          published.meanCores,
          published.infeasibleSec,
          'coreChanges' in published ? published.coreChanges : null,
          histogramText(published.batchSec),
        ],
        ...bySeed.map((each, index) => [
          `released, ${model.profile}`,
          plan.seeds[index]!,
          each.meanCores,
          each.infeasibleSec,
          each.coreChanges,
          histogramText(each.secByBatchSize),
        ]),
      ]),
      ...fa2.bySeed.map((each, index) => [
        'fa2, yolov5s',
        plan.seeds[index]!,
        each.meanInstances,
        each.infeasibleSec,
        null,
        histogramText(each.secByChosen),
      ]),
    ],
  ];
}

/** `4: 58; 5: 542`. */
function histogramText(histogram: Readonly<Record<number, number>>): string {
  return Object.entries(histogram)
    .map(([key, count]) => `${key}: ${count}`)
    .join('; ');
}

function evaluation({ evaluation: { cells } }: ExperimentResults): Table {
  return [
    [
      'profile',
      'service',
      'arrivals',
      'delay',
      'idleCpu',
      'policy',
      'publishedPercent',
      'paperPercent',
      'paperPercentLeast',
      'paperPercentMost',
      'paperPercentDropLimit1s',
      'violationPercent',
      'violationPercent95Low',
      'violationPercent95High',
      'violationPercentLeast',
      'violationPercentMost',
      'publishedCores',
      'meanCores',
      'meanCoresLeast',
      'meanCoresMost',
      'meanBatchSize',
      'sent',
      'late',
      'unanswered',
      'infeasibleOnArrival',
    ],
    cells.map((cell) => {
      const { setting, model, paperPercent, violationPercentBySeed: bySeed, meanCores } = cell;
      const recorded =
        model.profile === 'yolov5s' ? (POLICIES.find(({ key }) => key === cell.policy)?.recorded ?? null) : null;
      return [
        model.profile,
        setting.service,
        setting.arrivals,
        setting.delay,
        setting.releasesIdle ? 'given back' : 'kept',
        cell.policy,
        recorded?.violationPercent ?? null,
        paperPercent.mean,
        paperPercent.least,
        paperPercent.most,
        cell.paperPercentLimit1s.mean,
        cell.violationPercent,
        ...cell.violationPercent95,
        bySeed.least,
        bySeed.most,
        recorded?.meanCores ?? null,
        meanCores.mean,
        meanCores.least,
        meanCores.most,
        cell.meanBatchSize,
        cell.sent,
        cell.late,
        cell.unanswered,
        cell.infeasibleOnArrival,
      ];
    }),
  ];
}

/** The paper's four runs in the paper's setting, every seed. */
function evaluationBySecond({ evaluation: all, plan }: ExperimentResults): Table {
  const runs = SERVICES.flatMap((service) =>
    PAPER_POLICIES.flatMap(({ key }) => resultsIn(all, key, { service, ...PAPER_SETTING })),
  );
  return [
    ['service', 'policy', 'seed', 'second', 'sent', 'paperViolations', 'paperPercent', 'violated', 'meanCores'],
    runs.flatMap(({ job, sentBySecond, paperBySecond, violatedBySecond, coresBySecond }) => {
      const { dividedBy } = cellIn(all, job.policy, job.setting);
      return Array.from({ length: plan.durationSec }, (_, second) => [
        job.setting.service,
        job.policy,
        job.seed,
        second,
        sentBySecond[second]!,
        paperBySecond.limit3s[second]!,
        (100 * paperBySecond.limit3s[second]!) / dividedBy,
        violatedBySecond[second]!,
        coresBySecond[second]!,
      ]);
    }),
  ];
}
