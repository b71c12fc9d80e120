import type { ArrivalSpec } from '../workloads/arrivals.js';
import type { Scenario } from './schema.js';

/** Over [0, durationSec): of the part of its shape that a run sees. */
export function meanRatePerSec(arrivals: ArrivalSpec, durationSec: number): number {
  switch (arrivals.kind) {
    case 'constant':
    case 'poisson':
    case 'front-loaded':
    case 'mmpp':
      return arrivals.ratePerSec;
    case 'diurnal': {
      const { minRatePerSec, maxRatePerSec, periodSec } = arrivals;
      const turns = (2 * Math.PI * durationSec) / periodSec;
      const amplitude = (maxRatePerSec - minRatePerSec) / 2;
      return (minRatePerSec + maxRatePerSec) / 2 - (amplitude * Math.sin(turns)) / turns;
    }
    case 'flash-crowd': {
      const { ratePerSec, peakRatePerSec } = arrivals;
      return ratePerSec + ((peakRatePerSec - ratePerSec) * crowdSeconds(arrivals, durationSec)) / durationSec;
    }
    case 'rates': {
      const { ratesPerSec, repeat } = arrivals;
      let sum = 0;
      for (let second = 0; second < durationSec; second++) {
        const rate = repeat ? ratesPerSec[second % ratesPerSec.length] : ratesPerSec[second];
        sum += (rate ?? 0) * Math.min(1, durationSec - second);
      }
      return sum / durationSec;
    }
  }
}

type FlashCrowd = Extract<ArrivalSpec, { kind: 'flash-crowd' }>;

/** Seconds at the peak that are worth as much as the crowd is until then. */
function crowdSeconds({ atSec, rampSec, holdSec, decaySec }: FlashCrowd, untilSec: number): number {
  const within = (startSec: number, lengthSec: number): number => Math.max(0, Math.min(lengthSec, untilSec - startSec));
  const ramp = within(atSec, rampSec);
  const decay = within(atSec + rampSec + holdSec, decaySec);
  const ramped = rampSec === 0 ? 0 : (ramp * ramp) / (2 * rampSec);
  const decayed = decaySec === 0 ? 0 : decay - (decay * decay) / (2 * decaySec);
  return ramped + within(atSec + rampSec, holdSec) + decayed;
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
