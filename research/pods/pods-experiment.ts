import { inParallel } from '../../src/simulator/comparison/parallel.js';
import type { PodsEnd } from '../../src/simulator/pods/pods-ledger.js';
import { startModuleThread } from '../../src/threads/module-thread.js';
import type { Target } from '../planner/target.js';
import { runPodsJob, type PodsJob, type PodsRun, type RoutingJob, type RoutingRun } from './pods-jobs.js';

/*
 * What balancing over many pods is worth: the same requests before every balancing, several seeds, pooled.
 */

const FIRST_SEED = 2001;
const SEEDS = 5;
/** From four times what a request takes alone, and from twice. */
const USUAL_BUDGETS_MS = [250, 500, 1000, 2000];
const TIGHT_BUDGETS_MS = [120, 240, 480, 960];
const SIZE_MILLICORES = [500];
const THREE_SIZES_MILLICORES = [200, 500, 800];

/** How requests are pooled over seeds. */
export interface Pooled {
  readonly sent: number;
  readonly ends: Readonly<Record<PodsEnd, number>>;
  readonly lostFraction: number;
  /** Of what nobody could have answered in time, by the bound. */
  readonly unavoidableFraction: number;
  /** Of the tightest budget. */
  readonly tightLostFraction: number;
  readonly meanBatchSize: number;
  readonly retries: number;
  readonly digests: readonly string[];
}

export type RoutingVariant = Partial<Omit<RoutingJob, 'kind' | 'seed'>>;

export interface RoutingTable {
  readonly key: string;
  readonly rows: readonly { readonly title: string; readonly outcomes: readonly Pooled[] }[];
  readonly columns: readonly string[];
}

export interface PodsResults {
  readonly seeds: number;
  readonly tables: readonly RoutingTable[];
}

export interface PodsExperimentOptions {
  readonly threads: number;
  /** Of seeds and of durations, this share. */
  readonly scale: number;
  readonly onProgress: (fraction: number, now: string) => void;
}

const USUAL: Omit<RoutingJob, 'seed'> = {
  kind: 'routing',
  podKind: 'listed',
  podCount: 64,
  sizes: SIZE_MILLICORES,
  load: 0.9,
  durationMs: 4000,
  budgetsMs: USUAL_BUDGETS_MS,
  balancing: 'picker',
  reportEveryMs: 50,
  reportOnBatch: true,
  frontCount: 1,
  retries: 0,
  trouble: 'none',
};

const BALANCINGS: readonly (readonly [string, RoutingVariant])[] = [
  ['in turn', { balancing: 'round-robin' }],
  ['least request, of all', { balancing: 'least-request' }],
  ['least request, of two by chance', { balancing: 'random-of-two' }],
  ['the picker', { balancing: 'picker' }],
  ['one queue over all pods', { balancing: 'central' }],
];
const WITHOUT_CENTRAL = BALANCINGS.slice(0, -1);

interface TableSpec {
  readonly key: string;
  readonly columns: readonly (readonly [string, RoutingVariant])[];
  readonly rows: readonly (readonly [string, RoutingVariant])[];
}

const SPECS: readonly TableSpec[] = [
  {
    key: 'pods',
    columns: [
      ['16 whole', { podKind: 'scheduled', podCount: 16, durationMs: 2500 }],
      ['16', { podCount: 16, durationMs: 10_000 }],
      ['64', { podCount: 64, durationMs: 5000 }],
      ['256', { podCount: 256, durationMs: 2000 }],
      ['1,000', { podCount: 1000, durationMs: 1000 }],
    ],
    rows: BALANCINGS,
  },
  {
    key: 'loads',
    columns: [
      ['0.7', { podCount: 16, load: 0.7 }],
      ['0.9', { podCount: 16 }],
      ['1.1', { podCount: 16, load: 1.1 }],
      ['0.7, tight', { podCount: 16, load: 0.7, budgetsMs: TIGHT_BUDGETS_MS }],
      ['0.9, tight', { podCount: 16, budgetsMs: TIGHT_BUDGETS_MS }],
      ['1.1, tight', { podCount: 16, load: 1.1, budgetsMs: TIGHT_BUDGETS_MS }],
      ['0.7, three sizes', { podCount: 15, sizes: THREE_SIZES_MILLICORES, load: 0.7 }],
      ['0.9, three sizes', { podCount: 15, sizes: THREE_SIZES_MILLICORES }],
    ],
    rows: BALANCINGS.filter(([, { balancing }]) => balancing !== 'central'),
  },
  {
    key: 'whole',
    columns: [
      ['0.7', { load: 0.7 }],
      ['0.9', {}],
      ['1.1', { load: 1.1 }],
      ['0.9, tight', { budgetsMs: TIGHT_BUDGETS_MS }],
    ],
    rows: (['picker', 'random-of-two'] as const).flatMap((balancing) =>
      (['scheduled', 'listed'] as const).map(
        (podKind) =>
          [
            `${balancing === 'picker' ? 'the picker' : 'least request, of two by chance'}, ${podKind === 'scheduled' ? 'whole schedulers' : 'the shorter form'}`,
            { balancing, podKind, podCount: 8, durationMs: 2500 },
          ] as const,
      ),
    ),
  },
  {
    key: 'reports',
    columns: [
      ['every 20 ms', { reportEveryMs: 20 }],
      ['50 ms', {}],
      ['200 ms', { reportEveryMs: 200 }],
      ['1 s', { reportEveryMs: 1000 }],
    ],
    rows: [
      ['at that interval only', { reportOnBatch: false }],
      ['and when a batch begins', {}],
    ],
  },
  {
    key: 'fronts',
    columns: [
      ['1', {}],
      ['4', { frontCount: 4 }],
      ['16', { frontCount: 16 }],
    ],
    rows: WITHOUT_CENTRAL,
  },
  {
    key: 'trouble',
    columns: [
      ['none', {}],
      ['processes die', { trouble: 'processes' }],
      ['nodes die', { trouble: 'nodes' }],
      ['an eighth slow', { trouble: 'slow' }],
    ],
    rows: WITHOUT_CENTRAL.filter(([, { balancing }]) => balancing !== 'least-request').flatMap(([title, variant]) => [
      [title, { ...variant, load: 0.7 }] as const,
      [`${title}, two retries`, { ...variant, load: 0.7, retries: 2 }] as const,
    ]),
  },
];

export async function runPodsExperiment({ threads, scale, onProgress }: PodsExperimentOptions): Promise<PodsResults> {
  const seeds = Math.max(1, Math.round(SEEDS * scale));
  const seedOf = (index: number): number => FIRST_SEED + index;
  const jobs: PodsJob[] = [];
  const places: { readonly names: string }[] = [];
  const add = (names: string, job: PodsJob): number => {
    places.push({ names });
    return jobs.push(job) - 1;
  };
  const tableJobs = SPECS.map((spec) =>
    spec.rows.map(([title, row]) =>
      spec.columns.map(([column, variant]) =>
        Array.from({ length: seeds }, (_, index) => {
          const merged = { ...USUAL, ...row, ...variant };
          const durationMs = Math.max(500, Math.round(scale * merged.durationMs));
          const job: RoutingJob = { ...merged, durationMs, seed: seedOf(index) };
          return add(`${spec.key}: ${title}, ${column}`, job);
        }),
      ),
    ),
  );
  const runs = await inParallel<PodsJob, PodsRun>({
    jobs,
    threads,
    startThread: () => startModuleThread(import.meta.url, './pods-thread.js'),
    runHere: runPodsJob,
    nameOf: (job) => places[jobs.indexOf(job)]!.names,
    onProgress,
  });
  return {
    seeds,
    tables: SPECS.map((spec, table) => ({
      key: spec.key,
      columns: spec.columns.map(([name]) => name),
      rows: spec.rows.map(([title], row) => ({
        title,
        outcomes: spec.columns.map((_, column) =>
          pooled(tableJobs[table]![row]![column]!.map((index) => runs[index] as RoutingRun)),
        ),
      })),
    })),
  };
}

function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, each) => sum + of(each), 0);
}

function pooled(runs: readonly RoutingRun[]): Pooled {
  const sent = sumOf(runs, (run) => run.sent);
  const ends = { 'on-time': 0, late: 0, 'refused-by-front': 0, 'refused-by-pod': 0, lost: 0 };
  for (const run of runs) for (const end of Object.keys(ends) as PodsEnd[]) ends[end] += run.ends[end];
  return {
    sent,
    ends,
    lostFraction: 1 - ends['on-time'] / sent,
    unavoidableFraction: 1 - sumOf(runs, (run) => run.mostOnTime) / sent,
    tightLostFraction:
      1 - sumOf(runs, ({ onTimeByBudget }) => onTimeByBudget[0]!) / sumOf(runs, ({ sentByBudget }) => sentByBudget[0]!),
    meanBatchSize: sumOf(runs, (run) => run.meanBatchSize) / runs.length,
    retries: sumOf(runs, (run) => run.retries),
    digests: runs.map(({ digest }) => digest),
  };
}

// ---- what it is held to ----------------------------------------------------------------------------------------------

const MOST_VIOLATIONS_RATIO = 0.5;
const LEAST_OF_CENTRAL = 0.97;

export function podsTargets({ tables }: PodsResults): readonly Target[] {
  const table = tables.find(({ key }) => key === 'pods')!;
  const rowOf = (title: string): readonly Pooled[] => table.rows.find((row) => row.title === title)!.outcomes;
  const sizes = table.columns.map((name, index) => ({ name, index })).filter(({ name }) => name !== '1,000');
  const ours = rowOf('the picker');
  const rivals = ['least request, of all', 'least request, of two by chance'].map(rowOf);
  const ratios = sizes.map(({ name, index }) => {
    const least = Math.min(...rivals.map((row) => row[index]!.lostFraction));
    return {
      name,
      value: least === 0 ? (ours[index]!.lostFraction === 0 ? 0 : Infinity) : ours[index]!.lostFraction / least,
    };
  });
  const shares = sizes.map(({ name, index }) => {
    const { lostFraction, unavoidableFraction } = ours[index]!;
    return { name, value: (1 - lostFraction) / (1 - unavoidableFraction) };
  });
  const worstRatio = Math.max(...ratios.map(({ value }) => value));
  const worstShare = Math.min(...shares.map(({ value }) => value));
  const listed = (values: readonly { readonly name: string; readonly value: number }[], digits: number): string =>
    values.map(({ name, value }) => `${value.toFixed(digits)} at ${name}`).join(', ');
  return [
    {
      measure:
        '16 to 256 pods at 0.9 of capacity: violations, of those with least request (the better of its two forms)',
      least: `≤ ${MOST_VIOLATIONS_RATIO}`,
      aim: `≤ ${MOST_VIOLATIONS_RATIO}`,
      measured: listed(ratios, 2),
      isMet: worstRatio <= MOST_VIOLATIONS_RATIO,
      isAimMet: worstRatio <= MOST_VIOLATIONS_RATIO,
    },
    {
      measure: 'the same: on time, of what no queue over all pods can exceed',
      least: `≥ ${LEAST_OF_CENTRAL}`,
      aim: `≥ ${LEAST_OF_CENTRAL}`,
      measured: listed(shares, 4),
      isMet: worstShare >= LEAST_OF_CENTRAL,
      isAimMet: worstShare >= LEAST_OF_CENTRAL,
    },
  ];
}
