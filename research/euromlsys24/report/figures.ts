import type { ExperimentResults } from '../experiment.js';
import { claimsFigure } from './claims.js';
import { fa2Figure, releasedFigure } from './decisions.js';
import { evaluationFigure } from './evaluation.js';
import type { ReportFigure } from './figure.js';
import { fitsFigure } from './fits.js';
import { networkFigure } from './network.js';
import { replaysFigure } from './replays.js';

/** All of them, by name, in the order in which they are read. */
export function reportFigures(
  results: ExperimentResults,
): Readonly<Record<'fits' | 'released' | 'fa2' | 'network' | 'replays' | 'evaluation' | 'claims', ReportFigure>> {
  return {
    fits: fitsFigure(results.fits),
    released: releasedFigure(results.releasedDecisions),
    fa2: fa2Figure(results.fa2Decisions),
    network: networkFigure(results),
    replays: replaysFigure(results),
    evaluation: evaluationFigure(results),
    claims: claimsFigure(results),
  };
}
