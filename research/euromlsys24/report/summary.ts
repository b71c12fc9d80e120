import { isSameChoice } from '../decisions.js';
import { cellIn } from '../evaluation.js';
import { PAPER_POLICIES, PAPER_SETTING, SERVICES } from '../evaluation-jobs.js';
import type { ExperimentResults } from '../experiment.js';
import { lastDigitsOff } from '../latency-fits.js';
import { FA2_REPLAY, IMAGE_BYTES, RECORDED } from '../published.js';
import { spreadOf, type Spread } from '../spread.js';
import { fixed, signed, spreadText, type ReportTable } from './figure.js';

/** Every published number at a glance; the figures have the rest, and why they differ. */
export function summaryTable(results: ExperimentResults): ReportTable {
  return {
    caption:
      'In parentheses the least and the most of the seeds. Delay: communication latency of the image. Violations by the ' +
      "paper's measure, in its own setting: front-loaded, subtracted",
    columns: ['', 'published', 'ours', 'difference'],
    rows: [...exactRows(results), ...networkRows(results), ...ruleRows(results), ...evaluationRows(results)],
  };
}

type Row = readonly string[];

function row(what: string, published: number, ours: Spread, digits: number): Row {
  return [what, String(published), spreadText(ours, digits), signed(ours.mean - published, digits)];
}

function exactRows({ fits, releasedDecisions, fa2Decisions }: ExperimentResults): Row[] {
  const released = releasedDecisions.flatMap(({ decisions }) => decisions);
  const sameReleased = released.filter(({ published, ours }) => isSameChoice(published, ours)).length;
  const sameFa2 = fa2Decisions.filter((each) => each.publishedInstances === each.ourInstances).length;
  const sameFits = fits.filter((fit) => lastDigitsOff(fit) <= 0.5).length;
  return [
    ['equal fits', String(fits.length), String(sameFits), fixed(sameFits - fits.length, 0)],
    ['equal decisions', String(released.length), String(sameReleased), fixed(sameReleased - released.length, 0)],
    ['equal decisions of FA2', String(fa2Decisions.length), String(sameFa2), fixed(sameFa2 - fa2Decisions.length, 0)],
  ];
}

function networkRows({ remainingSlo }: ExperimentResults): Row[] {
  const image = remainingSlo.find(({ published }) => published.bytes === IMAGE_BYTES)!;
  return [
    ...remainingSlo.flatMap(({ published: { bytes, worstRemainingSec: published }, worstRemainingSec }) =>
      published === null ? [] : [row(`least SLO left, ${bytes / 1024} KiB, s`, published, worstRemainingSec, 2)],
    ),
    row('delay, mean, ms', image.published.meanMs, image.meanMs, 1),
    row('delay, P99, ms', image.published.p99Ms, image.p99Ms, 1),
    row('delay, max, ms', image.published.maxMs, image.maxMs, 1),
  ];
}

function ruleRows({ replays }: ExperimentResults): Row[] {
  const [yolov5s, yolov5n] = replays.released;
  return [
    row('Sponge: cores, replayed', yolov5s!.published.meanCores, yolov5s!.meanCores, 3),
    row('Sponge: cores, simulated', RECORDED.sponge.meanCores, yolov5s!.simulated.meanCores, 2),
    row('Sponge: infeasible, s', yolov5s!.published.infeasibleSec, yolov5s!.infeasibleSec, 0),
    row('YOLOv5n: cores, replayed', yolov5n!.published.meanCores, yolov5n!.meanCores, 3),
    row('YOLOv5n: infeasible, s', yolov5n!.published.infeasibleSec, yolov5n!.infeasibleSec, 0),
    row('FA2: instances, replayed', FA2_REPLAY.meanInstances, replays.fa2.meanInstances, 3),
  ];
}

/** In the paper's own setting, by its own measure. */
function evaluationRows({ evaluation }: ExperimentResults): Row[] {
  return PAPER_POLICIES.flatMap(({ key, title, recorded }) => {
    const name = title.split(',')[0]!;
    return [
      ...SERVICES.map((service) => {
        const { paperPercent } = cellIn(evaluation, key, { service, ...PAPER_SETTING });
        return row(`${name}: violations, % (${service})`, recorded!.violationPercent, paperPercent, 2);
      }),
      row(
        `${name}: cores`,
        recorded!.meanCores,
        spreadOf(SERVICES.map((service) => cellIn(evaluation, key, { service, ...PAPER_SETTING }).meanCores.mean)),
        2,
      ),
    ];
  });
}
