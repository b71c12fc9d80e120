import type { WorkloadRules } from '../../operate/observation.js';
import type { WorkloadKind } from './cluster-objects.js';

/** As given on the command line. */
export interface OperateSettings {
  readonly namespace: string;
  /** By name, or all that a selector has. */
  readonly workloads: readonly { readonly kind: WorkloadKind; readonly name: string }[];
  readonly selector: string | null;
  /** Of pods: ours, where they have several. */
  readonly container: string | null;
  /** Where pods speak REST. */
  readonly podPort: number;
  readonly token: string | null;
  readonly requests: 'keep' | 'follow';
  /** Null: what the workload's template gives our container. */
  readonly maxMillicores: number | null;
  readonly minMillicores: number;
  readonly rules: Omit<WorkloadRules, 'limits'>;
  readonly isDryRun: boolean;
  readonly lease: { readonly name: string; readonly seconds: number };
  /** Of this process. */
  readonly identity: string;
}

/** What to do where a right is missing. */
export const RIGHTS = 'apply deploy/kubernetes/operate.yaml, or set operate.enabled in the chart';

/** What the systemd cgroup driver rounds to: 10 ms of 100. */
export const STEP_MILLICORES = 100;
