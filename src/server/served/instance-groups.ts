import { createScaler, type DetectedScaler } from '../scalers/detect.js';
import type { KubernetesSettings } from '../scalers/kubernetes/settings.js';

/*
 * The CPU groups of a model's instances beside the first one's: that of the n-th has the first one's name and `-r<n>`, whether it is a
 * thread or a process. A spare is loaded in one of its own.
 */

/** As processes each has the model in memory once more: some hundred MB for one like ResNet-18. */
export const MOST_INSTANCES = 16;

/** Of the group that a spare is loaded in: no instance has it. */
export const SPARE_SLOT = 0;

export interface GroupOptions {
  /** The first one's. */
  readonly groupName: string;
  readonly quotaPeriodUs: number;
  readonly kubernetes?: KubernetesSettings;
  readonly onLog: (line: string) => void;
}

/** @throws Error, in one line, where instances could not be limited one by one */
export function groupKindOf({ scaler }: DetectedScaler, asked: string): 'cgroup-v1' | 'cgroup-v2' {
  if (scaler.kind === 'cgroup-v1' || scaler.kind === 'cgroup-v2') return scaler.kind;
  throw new Error(
    `${asked} limits each instance by a CPU group of its own, which scaler ${scaler.kind} cannot: ` +
      'run as root, or on cgroup v2 as a systemd service with Delegate=cpu',
  );
}

/**
 * It stands at its most from the start.
 * @param slot from 2 on, or `SPARE_SLOT`
 */
export function openGroup(
  first: DetectedScaler,
  { groupName, quotaPeriodUs, kubernetes, onLog }: GroupOptions,
  slot: number,
  maxMillicores: number,
  asked: string,
): Promise<DetectedScaler> {
  const kind = groupKindOf(first, asked);
  return createScaler({
    kind: first.isEnveloped === true ? 'kubernetes' : kind,
    ...(kubernetes === undefined ? {} : { kubernetes }),
    groupName: `${groupName}-r${slot}`,
    limits: { maxMillicores },
    periodUs: quotaPeriodUs,
    onWarning: onLog,
  });
}
