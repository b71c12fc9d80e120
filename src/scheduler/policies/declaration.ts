import type { AuthorsConfig } from '../controlplane/baselines/released-planner.js';
import type { Planner } from '../controlplane/planner.js';
import type { Preference } from '../controlplane/program-planner.js';
import type { Event } from '../domain/event.js';
import type { AllocationLimits } from '../domain/plan.js';
import type { DispatchKnobs } from './dispatch-knobs.js';
import type { Part } from './own-policies.js';

/* What a policy says of itself, so that whoever runs it need not know it by name. */

export interface PolicyDeclaration {
  readonly title: string;
  readonly dispatch: DispatchKnobs;
  readonly scaling: Scaling;
  /** Plans whenever something happens, rather than by the clock alone. */
  readonly isEventDriven?: true;
  /** Parameters besides the dispatch knobs, and their defaults. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Whether `without=…` is understood. */
  readonly hasParts?: true;
  /** Whether `prefer=…` is understood. */
  readonly hasPreference?: true;
  readonly cpu: (setting: PolicySetting, parameters: PolicyParameters) => CpuRule;
}

/** How its instances come by their CPU. */
export type Scaling =
  /** One allocation, of the one instance there is, which follows the load. */
  | { readonly kind: 'in-place' }
  /** One allocation, for good. */
  | { readonly kind: 'fixed' }
  /** Several warm instances, each resized by itself; models may share cores. */
  | { readonly kind: 'instances' }
  /** Instances that are alike, started and ended as it goes: of one unit each, for good, or resized together. */
  | { readonly kind: 'replicas'; readonly areResized: boolean; readonly isFirstWarm: boolean };

export interface PolicyParameters {
  readonly numbers: Readonly<Record<string, number>>;
  readonly without: Part;
  readonly prefer: Preference;
}

/** What a policy may depend on. */
export interface PolicySetting {
  /** Allocations on which batches may run, of one instance. */
  readonly limits: AllocationLimits;
  readonly maxBatchSize: number;
  /** Of requests that state none, or of most: what policies that know one SLO for all are configured with. */
  readonly sloMs: number;
  /** Warm ones, of policies that plan several, unless their parameters say how many. */
  readonly instances: number;
  /** Whether other models run on the same cores. */
  readonly sharesCores: boolean;
  /** Of policies that scale by replicas: the allocation of each, and how many there may be. */
  readonly replicas: { readonly unitMillicores: number; readonly maxInstances: number };
  /**
   * What the authors' controllers are told beforehand; absent where nobody knows the load.
   * @throws Error, one line, where the profile does not have what their fit needs
   */
  readonly authors?: () => AuthorsConfig;
}

/** What the CPU rule brings. */
export interface CpuRule {
  readonly planner: Planner;
  readonly observe?: (event: Event) => void;
  /** As its scaling says, unless stated. */
  readonly isAllocationFixed?: boolean;
  /** Unless this is false latency models follow the batches that really ran. */
  readonly learns?: boolean;
  /** Warm instances that it is to have; one where absent. */
  readonly instances?: number;
}
