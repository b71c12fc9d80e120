import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { openAffinity } from './affinity.js';
import { openCgroupV1 } from './cgroup-v1.js';
import { openCgroupV2 } from './cgroup-v2.js';
import { measureCpuCeiling } from './cpu-ceiling.js';
import { withFallback } from './fallback.js';
import { openNone } from './none.js';
import { DEFAULT_SETTINGS, type KubernetesSettings } from './kubernetes/settings.js';
import type { AdapterOptions, ScalerHandle, ScalerKind } from './scaler-handle.js';
import { ScalerUnavailable } from './scaler-handle.js';

export interface ScalerOptions {
  /** `auto`: the first that the machine allows, in the order cgroup-v2, cgroup-v1, affinity, none. */
  readonly kind: 'auto' | ScalerKind;
  /** Of kind `kubernetes`. */
  readonly kubernetes?: KubernetesSettings;
  readonly groupName: string;
  readonly limits?: Partial<AllocationLimits>;
  readonly periodUs?: number;
  readonly onWarning: (message: string) => void;
}

export interface DetectedScaler extends ScalerHandle {
  /** Why the better adapters were not possible, one line each, for the banner; empty when a kind was asked for. */
  readonly passedOver: readonly string[];
}

/** Below 10 ms the kernel's overhead shows; above, short batches see their quota as stalls. */
const DEFAULT_PERIOD_US = 10_000;

const BEST_FIRST = ['cgroup-v2', 'cgroup-v1', 'affinity', 'none'] as const;

/**
 * Opens the scaler of one worker; reclaims its group first if a dead server left it (up to 3.5 s).
 * @throws Error, in one line with the remedy: the asked kind is not possible here, the group name belongs to a running
 *   server, or an option is out of range
 */
export async function createScaler(options: ScalerOptions): Promise<DetectedScaler> {
  const periodUs = options.periodUs ?? DEFAULT_PERIOD_US;
  assertOptions(options.groupName, periodUs);
  const adapterOptions: AdapterOptions = {
    groupName: options.groupName,
    periodUs,
    ceiling: measureCpuCeiling(),
    limits: options.limits ?? {},
    onWarning: options.onWarning,
  };
  const kinds = options.kind === 'auto' ? BEST_FIRST : [options.kind];
  const passedOver: string[] = [];
  for (const kind of kinds) {
    try {
      const handle = await open(kind, adapterOptions, options.kubernetes);
      return { ...handle, passedOver: [...passedOver, ...(handle.innerPassedOver ?? [])] };
    } catch (error) {
      if (!(error instanceof ScalerUnavailable)) throw error;
      passedOver.push(`${kind}: ${error.message}`);
    }
  }
  throw new Error(`--scaler ${passedOver.join('; ')}; or let --scaler auto choose`);
}

async function open(
  kind: ScalerKind,
  options: AdapterOptions,
  settings: KubernetesSettings | undefined,
): Promise<ScalerHandle> {
  switch (kind) {
    case 'cgroup-v2':
      return withFallback(await openCgroupV2(options), () => openUngrouped(options), options.onWarning);
    case 'cgroup-v1':
      return withFallback(await openCgroupV1(options), () => openUngrouped(options), options.onWarning);
    case 'affinity':
      return openAffinity(options);
    case 'kubernetes': {
      // Nothing of a cluster is loaded without one.
      const { openKubernetes } = await import('./kubernetes/open-kubernetes.js');
      return openKubernetes(options, settings ?? DEFAULT_SETTINGS);
    }
    case 'none':
      return openNone(options);
  }
}

/** The best that needs no CPU group. */
function openUngrouped(options: AdapterOptions): ScalerHandle {
  try {
    return openAffinity(options);
  } catch (error) {
    if (!(error instanceof ScalerUnavailable)) throw error;
    return openNone(options);
  }
}

/** The kernel takes periods from 1 ms to 1 s (Documentation/scheduler/sched-bwc.rst). */
function assertOptions(groupName: string, periodUs: number): void {
  if (!/^[\w.-]{1,64}$/.test(groupName)) {
    throw new Error(`group name "${groupName}": use 1 to 64 letters, digits, ".", "_" and "-"`);
  }
  if (!Number.isInteger(periodUs) || periodUs < 1000 || periodUs > 1_000_000) {
    throw new Error(`quota period ${periodUs} µs: use an integer from 1000 to 1000000`);
  }
}
