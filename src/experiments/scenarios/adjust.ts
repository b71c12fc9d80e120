import type { ArrivalSpec } from '../../sim/workload/arrivals.js';
import type { Scenario } from './schema.js';

/** Over the whole run. */
export function meanRatePerSec(arrivals: ArrivalSpec, durationSec: number): number {
  switch (arrivals.kind) {
    case 'constant':
    case 'poisson':
    case 'front-loaded':
    case 'mmpp':
      return arrivals.ratePerSec;
    case 'diurnal':
      return (arrivals.minRatePerSec + arrivals.maxRatePerSec) / 2;
    case 'flash-crowd': {
      const { ratePerSec, peakRatePerSec, rampSec, holdSec, decaySec } = arrivals;
      return ratePerSec + ((peakRatePerSec - ratePerSec) * (holdSec + (rampSec + decaySec) / 2)) / durationSec;
    }
    case 'rates': {
      const { ratesPerSec } = arrivals;
      return ratesPerSec.reduce((sum, rate) => sum + rate, 0) / ratesPerSec.length;
    }
  }
}

/**
 * The same arrivals at another mean rate: every rate is multiplied, nothing moves in time.
 * @throws Error, one line, where the rates are in a file
 */
export function atMeanRate(scenario: Scenario, ratePerSec: number): Scenario {
  const { arrivals } = scenario;
  if (arrivals.kind === 'rates') {
    if (arrivals.ratesPerSec === undefined) {
      throw new Error('--rate: the rates of this scenario are in a file; put them into arrivals.ratesPerSec instead');
    }
    const factor =
      ratePerSec /
      meanRatePerSec({ ...arrivals, ratesPerSec: arrivals.ratesPerSec, repeat: true }, scenario.durationSec);
    return { ...scenario, arrivals: { ...arrivals, ratesPerSec: arrivals.ratesPerSec.map((rate) => rate * factor) } };
  }
  const factor = ratePerSec / meanRatePerSec(arrivals, scenario.durationSec);
  switch (arrivals.kind) {
    case 'constant':
    case 'poisson':
    case 'front-loaded':
    case 'mmpp':
      return { ...scenario, arrivals: { ...arrivals, ratePerSec } };
    case 'diurnal': {
      const { minRatePerSec, maxRatePerSec } = arrivals;
      const scaled = { minRatePerSec: minRatePerSec * factor, maxRatePerSec: maxRatePerSec * factor };
      return { ...scenario, arrivals: { ...arrivals, ...scaled } };
    }
    case 'flash-crowd': {
      const { peakRatePerSec } = arrivals;
      const scaled = { ratePerSec: arrivals.ratePerSec * factor, peakRatePerSec: peakRatePerSec * factor };
      return { ...scenario, arrivals: { ...arrivals, ...scaled } };
    }
  }
}

/** The same with one SLO for all requests. */
export function withOneSlo(scenario: Scenario, sloMs: number): Scenario {
  return { ...scenario, payloads: scenario.payloads.map((payload) => ({ ...payload, sloMs })) };
}
