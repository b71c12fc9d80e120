import { isSameChoice, type Choice, type Fa2Decision, type ReleasedDecisions } from '../decisions.js';
import { fixed, type ReportFigure } from './figure.js';

export function releasedFigure(all: readonly ReleasedDecisions[]): ReportFigure {
  const decisions = all.flatMap((each) => each.decisions);
  const same = decisions.filter(({ published, ours }) => isSameChoice(published, ours)).length;
  return {
    title: "Sponge's decisions: the worked example and the released rule",
    tables: all.map(({ published, decisions: ofLoad }) => ({
      caption: `${published.title} (known from: ${published.knownFrom})`,
      columns: ['network delay, ms', 'published (c, b)', 'ours (c, b)', 'l(b, c), ms', 'same'],
      rows: ofLoad.map((each) => [
        String(each.networkDelayMs),
        choiceText(each.published),
        choiceText(each.ours),
        fixed(each.latencyMs, 0),
        isSameChoice(each.published, each.ours) ? 'yes' : 'NO',
      ]),
    })),
    why: [
      [
        'difference',
        `${same} of ${decisions.length} decisions are the same. ` +
          (same === decisions.length
            ? 'The rule searches whole numbers with coefficients that are the same; there is no chance in it.'
            : 'The others hang on coefficients that differ.'),
      ],
    ],
  };
}

export function fa2Figure(decisions: readonly Fa2Decision[]): ReportFigure {
  const isSame = (each: Fa2Decision): boolean =>
    each.publishedInstances === each.ourInstances &&
    (each.publishedLoggedMs === null || each.publishedLoggedMs === each.ourLoggedMs);
  const same = decisions.filter(isSame).length;
  const logged = [...new Set(decisions.flatMap(({ publishedLoggedMs }) => publishedLoggedMs ?? []))];
  const ours = new Set(decisions.map(({ ourLoggedMs }) => ourLoggedMs));
  return {
    title: "FA2's decisions and the latencies in its log",
    tables: [
      {
        caption: 'YOLOv5s at 20/s, instances of one core, batches of one',
        columns: ['remaining SLO, ms', 'published n', 'ours n', 'published log, ms', 'ours log, ms', 'same'],
        rows: decisions.map((each) => [
          String(each.remainingSloMs),
          each.publishedInstances === null ? 'infeasible' : String(each.publishedInstances),
          each.ourInstances === null ? 'infeasible' : String(each.ourInstances),
          fixed(each.publishedLoggedMs, 0),
          fixed(each.ourLoggedMs, 0),
          isSame(each) ? 'yes' : 'NO',
        ]),
      },
    ],
    why: [
      [
        'difference',
        `${same} of ${decisions.length} are the same, ${logged.filter((each) => ours.has(each)).length} of the ` +
          `${logged.length} logged latencies (${logged.join(', ')} ms) among them. They are not the latencies of what was ` +
          'chosen (b = 1: 136 ms) but the first l(b, 1) above the remaining SLO, at which the search left its loop: ' +
          'l(4, 1), l(5, 1), l(6, 1).',
      ],
    ],
  };
}

function choiceText(choice: Choice): string {
  return choice === null ? 'infeasible' : `(${choice.cores}, ${choice.batchSize})`;
}
