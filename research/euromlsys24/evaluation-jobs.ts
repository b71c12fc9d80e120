import { resolve } from 'node:path';
import type { PublishedService } from '../../src/simulator/sim/machine.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import type { ScenarioFile } from '../../src/simulator/comparison/simulate.js';
import type { NetworkSource } from './network-source.js';
import { RECORDED, YOLOV5N, YOLOV5S, type EvaluatedModel, type RecordedRun } from './published.js';

/*
 * What is simulated: the authors' scenario with both shapes of a second, with the network delay taken off the SLO or really
 * waited for, with both readings of the published latencies, and with idle CPU kept, as in the paper, or given back.
 */

export interface EvaluationSetting {
  readonly service: (typeof SERVICES)[number];
  readonly arrivals: 'front-loaded' | 'poisson';
  readonly delay: 'subtracted' | 'applied';
  readonly releasesIdle: boolean;
}

/** As the paper's evaluation is, service aside. */
export const PAPER_SETTING = { arrivals: 'front-loaded', delay: 'subtracted', releasesIdle: false } as const;

export const SERVICES = ['fit', 'table'] as const satisfies readonly PublishedService[];
/** In the order of the report's columns. */
export const WORLDS = [
  { arrivals: 'front-loaded', delay: 'subtracted' },
  { arrivals: 'front-loaded', delay: 'applied' },
  { arrivals: 'poisson', delay: 'subtracted' },
  { arrivals: 'poisson', delay: 'applied' },
] as const satisfies readonly Pick<EvaluationSetting, 'arrivals' | 'delay'>[];

export interface EvaluatedPolicy {
  readonly key: string;
  readonly title: string;
  /** As `sponge simulate` names it. */
  readonly spec: string;
  readonly coldStartSec: number;
  /** Null where the paper has no such run. */
  readonly recorded: RecordedRun | null;
}

/** Of another instance in the FA2 series as it is plotted: each scale-up is held for 3 s. */
const COLD_START_SEC = 3;
/** With which FA2's first 50 s come out as recorded. */
const SLOW_COLD_START_SEC = 12;

function policy(key: string, title: string, spec: string, recorded: RecordedRun | null = null): EvaluatedPolicy {
  return { key, title, spec, coldStartSec: COLD_START_SEC, recorded };
}

export const PAPER_POLICIES: readonly EvaluatedPolicy[] = [
  policy('released', 'Sponge, as released', 'released', RECORDED.sponge),
  policy('fa2', 'FA2, cold start 3 s', 'fa2', RECORDED.fa2),
  policy('static-8', 'static 8, b = 1', 'static-8', RECORDED.static8),
  policy('static-16', 'static 16, b = 1', 'static-16', RECORDED.static16),
];

/** For orientation. */
const OTHER_POLICIES: readonly EvaluatedPolicy[] = [
  policy('released-greedy', 'as released, no window', 'released(batching=greedy)'),
  { ...policy('fa2-slow', 'FA2, cold start 12 s', 'fa2'), coldStartSec: SLOW_COLD_START_SEC },
  policy('static-8-batched', 'static 8, b ≤ 4', 'static(cores=8,batch=4)'),
  policy('best-static', 'best static, hindsight', 'best-static'),
  policy('paper', "the paper's program", 'paper'),
  policy('sponge', 'sponge (ours)', 'sponge'),
];

export const POLICIES: readonly EvaluatedPolicy[] = [...PAPER_POLICIES, ...OTHER_POLICIES];

/** Hindsight takes twenty runs, and its answer hardly depends on what idle CPU does. */
const IDLE_POLICIES = POLICIES.filter(({ key }) => key !== 'best-static');

/** Plain data: crosses threads. */
export interface EvaluationJob {
  readonly setting: EvaluationSetting;
  readonly model: EvaluatedModel;
  /** Key of a policy. */
  readonly policy: string;
  readonly spec: string;
  readonly seed: number;
  readonly file: ScenarioFile;
}

export interface EvaluationPlan {
  readonly seeds: readonly number[];
  readonly durationSec: number;
  readonly network: NetworkSource;
}

/** Neighbours share a world: a thread makes it once for all policies. */
export function evaluationJobs({ seeds, durationSec, network }: EvaluationPlan): EvaluationJob[] {
  const authors = readScenario('authors');
  const fileOf = (setting: EvaluationSetting, model: EvaluatedModel, coldStartSec: number): ScenarioFile => {
    const { scenario } = authors;
    return {
      ...authors,
      scenario: {
        ...scenario,
        durationSec,
        profile: model.profile,
        service: setting.service,
        arrivals: { kind: setting.arrivals, ratePerSec: model.ratePerSec },
        network: {
          ...scenario.network,
          mode: setting.delay,
          ...(network.path === null ? {} : { log: resolve(network.path) }),
        },
        cpu: { ...scenario.cpu, idleRelease: setting.releasesIdle, maxBatch: model.maxBatchSize },
        coldStartSec,
      },
    };
  };
  const jobsOf = (
    setting: EvaluationSetting,
    model: EvaluatedModel,
    seed: number,
    policies: readonly EvaluatedPolicy[],
  ): EvaluationJob[] =>
    policies.map(({ key, spec, coldStartSec }) => ({
      setting,
      model,
      policy: key,
      spec,
      seed,
      file: fileOf(setting, model, coldStartSec),
    }));

  return seeds.flatMap((seed) => [
    ...SERVICES.flatMap((service) =>
      WORLDS.flatMap((world) =>
        [false, true].flatMap((releasesIdle) =>
          jobsOf({ service, ...world, releasesIdle }, YOLOV5S, seed, releasesIdle ? IDLE_POLICIES : POLICIES),
        ),
      ),
    ),
    ...SERVICES.flatMap((service) => jobsOf({ service, ...PAPER_SETTING }, YOLOV5N, seed, POLICIES.slice(0, 1))),
  ]);
}
