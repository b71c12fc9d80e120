import type { Clock } from '../../scheduler/clock/clock.js';
import { Envelope } from '../../scheduler/controlplane/envelope/envelope.js';
import { EnvelopedScaler } from '../../scheduler/controlplane/envelope/enveloped-scaler.js';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { stream } from '../../scheduler/random/streams.js';
import type { Environment, SimulatedEnvelope } from './environment.js';
import { SimulatedScaler } from './simulated-scaler.js';
import type { SimulatedWorker } from './simulated-worker.js';
import { draw } from '../workloads/workload.js';

/*
 * What resizes in a simulation: an allocation for each instance, or one of all where they are alike; by themselves, or inside a limit that
 * is resized as a pod's is.
 */

export interface SimulatedScalersOptions {
  readonly environment: Environment;
  readonly limits: AllocationLimits;
  /** In force at the start, by allocation. */
  readonly initial: readonly number[];
  readonly clock: Clock;
  readonly workers: SimulatedWorker;
  readonly seed: number;
}

/** Of a quota inside an envelope. */
const INNER_DELAY_MS = 0.1;

/** All of them draw from the same streams. */
export function simulatedScalers(options: SimulatedScalersOptions): Scaler[] {
  const { environment, limits, initial, clock, workers, seed } = options;
  const { cpu, scaler } = environment;
  const delays = stream(seed, 'resize delays');
  const refusals = stream(seed, 'resize refusals');
  const delayMs = (): number => draw(scaler.delayMs, delays);
  const wholeLimits = { ...limits, minMillicores: Math.min(cpu.idleMillicores, limits.minMillicores) };
  const envelope = scaler.envelope === undefined ? null : envelopeOf(options, scaler.envelope, wholeLimits, delayMs);
  const isInside = envelope !== null;
  const scalerOf = (cpuMillicores: number, instance: number): Scaler => {
    const own = new SimulatedScaler({
      clock,
      limits: wholeLimits,
      cpuMillicores,
      delayMs: isInside ? () => INNER_DELAY_MS : delayMs,
      readBackMs: () => draw(scaler.readBackMs, delays),
      expectedDelayMs: isInside ? INNER_DELAY_MS : meanOf(scaler.delayMs),
      isRefused: () => scaler.refusedFraction > 0 && refusals.uniform() < scaler.refusedFraction,
      usedSeconds: () => workers.usedSeconds,
      apply: (millicores) => workers.setAllocation(millicores, instance),
    });
    if (envelope === null) return own;
    const inner = scaler.envelope!.hasInner ? own : null;
    return new EnvelopedScaler({
      envelope,
      limits: wholeLimits,
      inner,
      kind: 'simulated',
      readCounters: () => own.readCounters(),
    });
  };
  return initial.map(scalerOf);
}

/** Its resizes always succeed. Without quotas inside, it is the one allocation. */
function envelopeOf(
  { initial, clock, workers }: SimulatedScalersOptions,
  { hasInner, holdMs, perSec, burst }: SimulatedEnvelope,
  limits: AllocationLimits,
  delayMs: () => number,
): Envelope {
  if (!hasInner && initial.length > 1) {
    throw new Error('scaler.envelope.hasInner: false is of one instance: several cannot be limited one by one');
  }
  let latest = 0;
  const envelope: Envelope = new Envelope({
    clock,
    rules: {
      leastMillicores: limits.minMillicores,
      mostMillicores: limits.maxMillicores,
      stepMillicores: limits.stepMillicores,
      reserveMillicores: 0,
      holdMs: hasInner ? holdMs : 0,
      rate: { perSec, burst },
    },
    limitMillicores: limits.maxMillicores,
    port: {
      resize: (limitMillicores) => {
        const call = ++latest;
        clock.schedule(clock.nowMs() + delayMs(), () => {
          if (call !== latest) return;
          if (!hasInner) workers.setAllocation(limitMillicores, 0);
          envelope.noteAccepted();
          envelope.noteInForce(limitMillicores);
        });
      },
    },
  });
  return envelope;
}

function meanOf(range: number | readonly [number, number]): number {
  return typeof range === 'number' ? range : (range[0] + range[1]) / 2;
}
