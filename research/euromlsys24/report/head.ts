import type { ExperimentResults } from '../experiment.js';
import { RUN_SEC } from '../published.js';
import type { Reason } from './figure.js';

/* What has to be said before any number. */

export function aboutRun({ plan }: ExperimentResults): string {
  const { seeds, durationSec, network } = plan;
  const length =
    durationSec === RUN_SEC
      ? `${durationSec} s each`
      : `${durationSec} s each, where the published runs last ${RUN_SEC} s, so that numbers differ for that alone`;
  return (
    'The numbers of "Sponge: Inference Serving with Dynamic SLOs Using In-Place Vertical Scaling" (EuroMLSys 2024) and of its ' +
    `released code and data, beside what is computed and simulated here. Network: ${network.description}. ` +
    `Seeds ${seedsText(seeds)}, ${length}.`
  );
}

/** `1 to 5`. */
export function seedsText(seeds: readonly number[]): string {
  return seeds.length === 1 ? String(seeds[0]!) : `${seeds[0]!} to ${seeds.at(-1)!}`;
}

/** Words that every table uses. */
export const WORDS: readonly Reason[] = [
  [
    'fit, table',
    "what simulated batches take: 0.88 of the authors' fit to their P99, or their published means; with a log-normal scatter " +
      'of 7 %',
  ],
  [
    'front-loaded',
    'their load generator, which sends most of a second at its start; Poisson arrivals are the other choice',
  ],
  [
    'subtracted',
    'the network delay is taken off the SLO and never waited for, as they do; applied: requests come in that late',
  ],
  [
    "paper's measure",
    "each second, replies dropped after 3 s and one more if the second's P99 is above 1 s, over 40 (static: 20); the network " +
      'left out',
  ],
  ['our measure', 'requests not answered within their SLO less their network delay, of all'],
];
