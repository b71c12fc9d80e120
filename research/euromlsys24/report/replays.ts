import type { ExperimentResults } from '../experiment.js';
import { deviationsFrom, type ModelReplays } from '../replays.js';
import { FA2_REPLAY, RECORDED, RECORDED_DETAILS } from '../published.js';
import { spreadOf, type Spread } from '../spread.js';
import {
  fixed,
  NONE,
  plusMinus,
  signed,
  spreadText,
  type Reason,
  type ReportFigure,
  type ReportTable,
} from './figure.js';

export function replaysFigure(results: ExperimentResults): ReportFigure {
  const [yolov5s, yolov5n] = results.replays.released as readonly [ModelReplays, ModelReplays];
  return {
    title: 'What the rules decide over the network',
    tables: [
      releasedTable(yolov5s, 'YOLOv5s at 20/s', [RECORDED.sponge.meanCores, null]),
      releasedTable(yolov5n, 'YOLOv5n at 40/s', [
        RECORDED_DETAILS.yolov5nMeanCores,
        RECORDED_DETAILS.yolov5nInfeasibleShare,
      ]),
      fa2Table(results),
    ],
    why: reasons(results, yolov5s, yolov5n),
  };
}

/** @param recorded of the live run: mean cores and the share of infeasible decisions, as far as they are known */
function releasedTable(
  { published, bySeed, meanCores, infeasibleSec, coreChanges, simulated }: ModelReplays,
  title: string,
  [recordedCores, recordedInfeasible]: readonly [number, number | null],
): ReportTable {
  const seconds = bySeed[0]!.coresBySecond.length;
  const sizes = Object.keys(published.batchSec)
    .map(Number)
    .sort((a, b) => b - a);
  const publishedChanges = 'coreChanges' in published ? published.coreChanges : null;
  const row = (
    what: string,
    recorded: string,
    replay: number | null,
    ours: Spread,
    digits: number,
    simulation: string,
  ): string[] => [
    what,
    recorded,
    replay === null ? NONE : fixed(replay, digits),
    spreadText(ours, digits),
    replay === null ? NONE : signed(ours.mean - replay, digits),
    simulation,
  ];
  return {
    caption: `Released rule, ${title}, a decision a second for ${seconds} s`,
    columns: ['', 'recorded', 'published replay', 'our replay', 'difference', 'simulated'],
    rows: [
      row('mean cores', fixed(recordedCores, 2), published.meanCores, meanCores, 3, spreadText(simulated.meanCores, 3)),
      row(
        'infeasible, %',
        recordedInfeasible === null ? NONE : fixed(100 * recordedInfeasible, 1),
        published.infeasibleSec / 6,
        scaled(infeasibleSec, 100 / seconds),
        1,
        spreadText(scaled(simulated.infeasibleShare, 100), 1),
      ),
      row('core changes', NONE, publishedChanges, coreChanges, 0, spreadText(simulated.coreChanges, 0)),
      ...sizes.map((size) =>
        row(
          `seconds with b = ${size}`,
          NONE,
          published.batchSec[size]!,
          spreadOf(bySeed.map(({ secByBatchSize }) => secByBatchSize[size] ?? 0)),
          0,
          NONE,
        ),
      ),
    ],
  };
}

function fa2Table({ replays, plan }: ExperimentResults): ReportTable {
  const { bySeed, meanInstances, infeasibleSec } = replays.fa2;
  const row = (what: string, recorded: number | null, replay: number, ours: Spread, digits: number): string[] => [
    what,
    recorded === null ? NONE : fixed(recorded, 2),
    fixed(replay, digits),
    spreadText(ours, digits),
    signed(ours.mean - replay, digits),
  ];
  const counts = Object.keys(FA2_REPLAY.chosenSec).map(Number);
  return {
    caption: `FA2 as coded, YOLOv5s at 20/s, from one instance, a decision a second for ${plan.durationSec} s`,
    columns: ['', 'recorded', 'published replay', 'our replay', 'difference'],
    rows: [
      row('mean instances', RECORDED.fa2.meanCores, FA2_REPLAY.meanInstances, meanInstances, 3),
      row('infeasible, s', null, FA2_REPLAY.infeasibleSec, infeasibleSec, 1),
      ...counts.map((n) =>
        row(
          `seconds with n = ${n}`,
          null,
          FA2_REPLAY.chosenSec[n]!,
          spreadOf(bySeed.map(({ secByChosen }) => secByChosen[n] ?? 0)),
          0,
        ),
      ),
    ],
  };
}

function reasons({ plan, replays }: ExperimentResults, yolov5s: ModelReplays, yolov5n: ModelReplays): Reason[] {
  const gap = Math.max(yolov5s.largestGap, yolov5n.largestGap);
  const simulation: Reason = [
    'simulated',
    gap < 0.0005
      ? "The simulated controller decides as the replay does, second by second: its mean is the replay's for every seed."
      : `The simulated controller's mean is off the replay's by at most ${fixed(gap, 3)} cores: its ticks fall within the seconds.`,
  ];
  const { population } = replays;
  if (population === null) {
    return [
      [
        'difference',
        plan.network.kind === 'paper-log'
          ? 'The same log and the same rules; the replays have to be equal.'
          : 'This is not the log of the paper, so other numbers are to be expected.',
      ],
      simulation,
    ];
  }
  const at = (spread: Spread, published: number): string =>
    `the published ${published} lies ${signed(deviationsFrom(spread, published), 1)} deviations off`;
  const { yolov5s: s, yolov5n: n, fa2, series } = population;
  return [
    [
      'difference',
      `The rules look at nothing but the network, so what differs is the log. Over ${series} generated ten-minute series the ` +
        `released rule holds ${plusMinus(s.meanCores, 2)} cores on YOLOv5s (${at(s.meanCores, yolov5s.published.meanCores)}), ` +
        `is infeasible in ${plusMinus(s.infeasibleSec, 0)} s (${at(s.infeasibleSec, yolov5s.published.infeasibleSec)}), and ` +
        `holds ${plusMinus(n.meanCores, 2)} on YOLOv5n (${at(n.meanCores, yolov5n.published.meanCores)}); FA2 holds ` +
        `${plusMinus(fa2.meanInstances, 2)} (${at(fa2.meanInstances, FA2_REPLAY.meanInstances)}).`,
    ],
    simulation,
  ];
}

function scaled({ mean, least, most, deviation }: Spread, factor: number): Spread {
  return { mean: factor * mean, least: factor * least, most: factor * most, deviation: factor * deviation };
}
