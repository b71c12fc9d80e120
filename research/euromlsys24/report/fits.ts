import { lastDigitsOff, TERMS, type LatencyFit } from '../latency-fits.js';
import { SMALLEST_FITTED_MS, SMALLEST_MEASURED_MS } from '../published.js';
import { fittedLatencyMs } from '../../../src/scheduler/perf-model/fit.js';
import { fixed, type ReportFigure } from './figure.js';

const SYMBOLS = { gamma: 'γ', delta: 'δ', epsilon: 'ε', eta: 'η' } as const;
const DIGITS = 3;

export function fitsFigure(fits: readonly LatencyFit[]): ReportFigure {
  return {
    title: 'Latency model',
    tables: [
      {
        caption: 'l(b, c) = γ·b/c + δ·b + ε/c + η in ms, by unweighted least squares on whole ms',
        columns: ['profile', '', ...TERMS.map((term) => SYMBOLS[term]), 'R²', 'MAPE %', 'worst %'],
        rows: fits.flatMap((fit) => [
          [
            fit.published.title,
            'published',
            ...TERMS.map((term) => fixed(fit.published.coefficients[term], DIGITS)),
            fixed(fit.published.r2, 3),
            fixed(fit.published.meanErrorPercent, 1),
            fixed(fit.published.maxErrorPercent, 0),
          ],
          [
            '',
            'ours',
            ...TERMS.map((term) => fixed(fit.coefficients[term], DIGITS)),
            fixed(fit.r2, 3),
            fixed(fit.meanErrorPercent, 1),
            fixed(fit.maxErrorPercent, 0),
          ],
        ]),
      },
    ],
    why: [
      ['difference', sameness(fits)],
      ['ε < 0', unphysical(fits[0]!)],
    ],
  };
}

function sameness(fits: readonly LatencyFit[]): string {
  const off = Math.max(...fits.map(lastDigitsOff));
  const units = `${fixed(off, 2)} units of the last digit that is known of it`;
  return off <= 0.5
    ? `Nothing differs: the same cells by the same method. The largest difference of any coefficient is ${units}: rounding.`
    : `A coefficient differs by ${units}, more than rounding explains.`;
}

function unphysical(fit: LatencyFit): string {
  const { coefficients, robust, meanErrorPercent } = fit;
  const fittedMs = Math.trunc(fittedLatencyMs(coefficients, 1, 1000));
  return (
    `On YOLOv5s it means that less CPU would cost less per batch: one request on one core is fitted at ${fittedMs} ms ` +
    `(published: ${SMALLEST_FITTED_MS}) where ${SMALLEST_MEASURED_MS.toFixed(1)} were measured. Our own fit (relative ` +
    `errors, no negative coefficient) has a MAPE of ${fixed(robust.meanErrorPercent, 1)} % on the same cells instead of ` +
    `${fixed(meanErrorPercent, 1)} %.`
  );
}
