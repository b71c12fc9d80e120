import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { ChosenPolicy } from '../../scheduler/policies/chosen-policy.js';
import type { DetectedScaler } from '../scalers/detect.js';
import type { Turns } from './background-profiling.js';
import type { AuditResult } from './batch-audit.js';
import type { InstanceCount } from './instance-count.js';
import type { Nodes } from '../nodes.js';
import type { WorkerOptions } from './open-worker.js';
import type { Spares } from './spares.js';

export interface ServedModelOptions extends Omit<WorkerOptions, 'onScaling' | 'startingCores'> {
  readonly clock: Clock;
  readonly policy: ChosenPolicy;
  /** Warm instances, each resized by itself, of policies that scale by them. */
  readonly instances: InstanceCount;
  /** Threads of one process that share the model's weights, or a process each: more memory, and a crash ends one of them. */
  readonly instancesPerProcess: 'all' | 1;
  /** Served by this server. */
  readonly modelCount: number;
  readonly minMillicores: number;
  readonly idleReleaseMs: number | null;
  readonly queueLimits: { readonly maxRequests: number; readonly maxBytes: number };
  readonly maxBatchBytes: number;
  /** Whether `maxBatchSize` was stated, rather than ours; the model's own settings may state one too. */
  readonly isMaxBatchStated: boolean;
  /** Of batches that were started early enough by the plan, the share that may miss deadlines. */
  readonly targetMissRate: number;
  /** Null: from the profile, max(1 s, 10 × l(1, 1 core)). */
  readonly defaultSloMs: number | null;
  readonly quickBudgetMs: number;
  readonly fullBudgetMs: number;
  /** Where profiles are kept; null: beside their models. */
  readonly profileFolder: string | null;
  /** Whether a quick profile is refined in the background. */
  readonly isRefining: boolean;
  /** Shared by the models of one server. */
  readonly turns: Turns;
  readonly spares: Spares;
  /** Where it is to be served. */
  readonly nodes: Nodes;
  /** Of its node's cores: what it may have in a backlog before others get more; undefined: an equal share. */
  readonly floorFraction: number | undefined;
  /** The CPU group stands, with so much in force, and so it is known how many instances there will be; the worker process starts next. */
  readonly onScaling: (scaling: DetectedScaler, instances: number, cpuMillicores: number) => void;
  readonly onEvent: (event: Event) => void;
  /** A member of a real batch was run again alone. */
  readonly onAudit: (result: AuditResult) => void;
  /** Good news, one line. */
  readonly onNotice: (line: string) => void;
  /** What start-up is at; each message replaces the one before. */
  readonly onProgress: (message: string) => void;
}
