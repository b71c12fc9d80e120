import { stringify } from 'yaml';
import { shortPercentText } from '../scheduler/domain/percent.js';
import type { AllocationLimits } from '../scheduler/domain/plan.js';
import type { Scenario } from '../simulator/scenarios/schema.js';
import type { Facts } from './page.js';
import { durationText } from './time-bins.js';

/* A scenario in words: who sends what, over which network, to which model, on which machine. */

/** @param limits of the allocation, which the scenario may leave to its profile */
export function scenarioFacts(scenario: Scenario, limits: AllocationLimits): Facts {
  const { durationSec, profile, payloads, cpu, queueLimit } = scenario;
  const facts: (readonly [string, string])[] = [
    ['load', `${arrivalsText(scenario.arrivals)}, for ${durationText(durationSec)}`],
    ['requests', payloads.map((payload) => payloadText(payload, payloads)).join('; ')],
    ['network', networkText(scenario.network)],
    ['model', `profile \`${profile}\`${cpu.maxBatch === undefined ? '' : `, batches of at most ${cpu.maxBatch}`}`],
    [
      'CPU',
      `${limits.minMillicores / 1000} to ${limits.maxMillicores / 1000} cores in steps of ${cpu.stepCores}` +
        (cpu.idleRelease ? `; ${cpu.idleCores} after ${cpu.idleReleaseMs} ms without work` : '; kept while idle'),
    ],
    ['resizing', scalerText(scenario.scaler)],
    ['worker', workerText(scenario.worker)],
    ['queue', `${queueLimit.toLocaleString('en')} requests at most`],
  ];
  if (scenario.leavingFraction > 0) {
    facts.push(['clients', `${shortPercentText(scenario.leavingFraction)} leave before their SLO is over`]);
  }
  return facts;
}

/** Every key with its value, defaults included. */
export function scenarioYaml(scenario: Scenario): string {
  return stringify(scenario, (_key, value: unknown) =>
    Array.isArray(value) && value.length > MOST_LISTED
      ? [...(value.slice(0, MOST_LISTED) as unknown[]), `… ${value.length} in all`]
      : value,
  );
}

const MOST_LISTED = 24;

function arrivalsText(arrivals: Scenario['arrivals']): string {
  switch (arrivals.kind) {
    case 'constant':
      return `${perSec(arrivals.ratePerSec)} at even distances`;
    case 'poisson':
      return `${perSec(arrivals.ratePerSec)}, Poisson`;
    case 'front-loaded':
      return `${perSec(arrivals.ratePerSec)}, sent at the start of each second`;
    case 'mmpp':
      return (
        `${perSec(arrivals.ratePerSec)} on average, ${arrivals.highFactor} and ${arrivals.lowFactor} times a base rate in turn, ` +
        `each for ${range(arrivals.dwellSec, 's')}`
      );
    case 'diurnal':
      return `${arrivals.minRatePerSec} to ${perSec(arrivals.maxRatePerSec)}, up and down every ${durationText(arrivals.periodSec)}`;
    case 'flash-crowd':
      return (
        `${perSec(arrivals.ratePerSec)}; at ${durationText(arrivals.atSec)} up to ${arrivals.peakRatePerSec} within ` +
        `${arrivals.rampSec} s, for ${arrivals.holdSec} s, back within ${arrivals.decaySec} s`
      );
    case 'rates':
      return arrivals.file === undefined
        ? `${arrivals.ratesPerSec?.length ?? 0} listed rates, one a second`
        : `rates of \`${arrivals.file}\`, one a second`;
  }
}

function payloadText({ bytes, sloMs, weight }: Scenario['payloads'][number], all: Scenario['payloads']): string {
  const total = all.reduce((sum, each) => sum + each.weight, 0);
  const share = all.length === 1 ? '' : `${shortPercentText(weight / total)}: `;
  return `${share}${range(bytes, 'B')}, SLO ${range(sloMs, 'ms')}`;
}

function networkText({
  mode,
  log,
  clients,
  scale,
  fades,
  propagationMs,
  replyBytes,
  clocks,
}: Scenario['network']): string {
  if (mode === 'none') return 'none: requests are there at once';
  const logs = log === undefined ? [] : [log].flat();
  return [
    mode === 'applied'
      ? 'uploads take as long as the bandwidth makes them'
      : 'delays are subtracted from the budget, not waited for',
    logs.length === 0 ? 'a generated 4G-like series a client' : logs.map((each) => `\`${each}\``).join(', '),
    plural(clients, 'client'),
    ...(scale === 1 ? [] : [`bandwidth × ${scale}`]),
    ...(fades === undefined
      ? []
      : [
          `${fades.perMinute} fades a minute of ${range(fades.durationSec, 's')} down to ${range(fades.bytesPerMs, 'B/ms')}`,
        ]),
    `${range(propagationMs, 'ms')} each way`,
    `replies of ${range(replyBytes, 'B')}`,
    ...(clocks === undefined
      ? []
      : [`clocks off by ${range(clocks.offsetMs, 'ms')}, drift ${range(clocks.driftPpm, 'ppm')}`]),
  ].join('; ');
}

function scalerText({ delayMs, readBackMs, refusedFraction, envelope }: Scenario['scaler']): string {
  return [
    `in force after ${range(delayMs, 'ms')}`,
    ...(envelope === undefined
      ? []
      : [envelope.hasInner ? 'quotas in one limit, which takes that' : 'one limit for all']),
    ...(readBackMs === 0 ? [] : [`read back after ${range(readBackMs, 'ms')}`]),
    ...(refusedFraction === 0 ? [] : [`${shortPercentText(refusedFraction)} refused`]),
  ].join('; ');
}

function workerText({ stagingMs, restartMs, crashesAtSec, slow, drift }: Scenario['worker']): string {
  return [
    `inputs staged in ${stagingMs} ms`,
    ...(crashesAtSec.length === 0
      ? []
      : [`crashes at ${crashesAtSec.join(', ')} s and is back after ${durationText(restartMs / 1000)}`]),
    ...slow.map(({ atSec, forSec, factor }) => `${factor} times as slow from ${atSec} s for ${forSec} s`),
    ...drift.map(({ atSec, overSec, factor }) => `becomes ${factor} times as slow from ${atSec} s over ${overSec} s`),
  ].join('; ');
}

function perSec(rate: number): string {
  return `${rate} requests/s`;
}

function range(value: number | readonly [number, number], unit: string): string {
  const text = (each: number): string => each.toLocaleString('en', { maximumFractionDigits: 3 });
  return typeof value === 'number' ? `${text(value)} ${unit}` : `${text(value[0])} to ${text(value[1])} ${unit}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
