import type { ExperimentResults } from '../experiment.js';
import { deviationsFrom } from '../replays.js';
import { DELAYS, IMAGE_BYTES } from '../published.js';
import { fixed, NONE, plusMinus, signed, spreadText, type ReportFigure } from './figure.js';

export function networkFigure({ plan, remainingSlo, replays }: ExperimentResults): ReportFigure {
  return {
    title: 'Motivation: what the network leaves of an SLO of 1 s',
    tables: [
      {
        caption:
          `Communication latency, ms, and the least remaining SLO, s, over ${plan.durationSec} s; ` +
          'mean and range of the seeds',
        columns: ['payload, bytes', '', 'mean', 'P99', 'max', 'worst remaining SLO'],
        rows: remainingSlo.flatMap(({ published, meanMs, p99Ms, maxMs, worstRemainingSec }) => [
          [
            String(published.bytes),
            'published',
            fixed(published.meanMs, 1),
            fixed(published.p99Ms, 1),
            fixed(published.maxMs, 1),
            published.worstRemainingSec === null ? NONE : `${published.worstRemainingSec} s`,
          ],
          [
            '',
            'ours',
            spreadText(meanMs, 1),
            spreadText(p99Ms, 1),
            spreadText(maxMs, 1),
            `${spreadText(worstRemainingSec, 2)} s`,
          ],
          [
            '',
            'difference',
            signed(meanMs.mean - published.meanMs, 1),
            signed(p99Ms.mean - published.p99Ms, 1),
            signed(maxMs.mean - published.maxMs, 1),
            published.worstRemainingSec === null
              ? NONE
              : signed(worstRemainingSec.mean - published.worstRemainingSec, 2),
          ],
        ]),
      },
    ],
    why: [['difference', reason({ plan, replays })]],
  };
}

function reason({ plan, replays }: Pick<ExperimentResults, 'plan' | 'replays'>): string {
  const { population } = replays;
  if (population === null) {
    return plan.network.kind === 'paper-log'
      ? 'The same log by the same formula, bandwidth cut to whole bytes/ms: what is left is rounding.'
      : 'This is not the log of the paper, so other numbers are to be expected.';
  }
  const published = DELAYS.find(({ bytes }) => bytes === IMAGE_BYTES)!;
  const { meanDelayMs, p99DelayMs, maxDelayMs, series } = population;
  const z = [
    deviationsFrom(meanDelayMs, published.meanMs),
    deviationsFrom(p99DelayMs, published.p99Ms),
    deviationsFrom(maxDelayMs, published.maxMs),
  ].map((each) => signed(each, 1));
  return (
    `The published numbers are one log's; ours are those of ${plan.seeds.length} generated series of the same distribution. ` +
    `Over ${series} of them the delay of ${IMAGE_BYTES} bytes has a mean of ${plusMinus(meanDelayMs, 1)}, a P99 of ` +
    `${plusMinus(p99DelayMs, 0)} and a maximum of ${plusMinus(maxDelayMs, 0)} ms (± from series to series), so the log lies ` +
    `${z.join(', ')} deviations off. The worst remaining SLO hangs on one second: the log's slowest, 0.432 MB/s, is as slow ` +
    'as the generator ever gets.'
  );
}
