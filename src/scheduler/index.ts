/*
 * `sponge-inference/scheduler`: both planes, for servers and simulations of other makes. Whoever makes a system hands it a clock, a
 * pool of workers and a scaler; it reads no clock, opens no file, and depends on no package.
 */
export { createSystem, startMillicores } from './system.js';
export type { Lease, Policy, System, SystemConfig, SystemOptions, SystemStatus } from './system.js';
export { createNode } from './node.js';
export type { Node, NodeModel, NodeOptions } from './node.js';

export type { Clock, Timer } from './clock/clock.js';
export { VirtualClock } from './clock/virtual-clock.js';
export type { BatchResult, BatchRun, WorkerPool, WorkerPoolEvent } from './dataplane/worker-pool.js';
export type { CpuCounters, ResizeResult, Scaler } from './controlplane/scaler.js';

export { edfPolicy } from './dataplane/policy.js';
export type { DispatchPolicy } from './dataplane/policy.js';
export type { Planner } from './controlplane/planner.js';
export { jointPlanner } from './controlplane/joint-planner.js';
export { pricedPlanner } from './controlplane/priced-planner.js';
export { paperPlanner } from './controlplane/program-planner.js';
export { staticPlanner } from './controlplane/baselines/static.js';

export { OnlineLatencyModels } from './perf-model/latency-model.js';
export type { LatencyModels, LatencyObservation } from './perf-model/model-source.js';
export { publishedProfile, PUBLISHED_PROFILE_NAMES } from './perf-model/published.js';
export type { PublishedProfileName } from './perf-model/published.js';
export type { Profile, ProfileCell } from './perf-model/profile.js';

export type { Event } from './domain/event.js';
export type { LatencyModel } from './domain/latency.js';
export { outcomeName } from './domain/outcome.js';
export type { Outcome, OutcomeName, Reason } from './domain/outcome.js';
export type { AllocationLimits, Plan } from './domain/plan.js';
export { shapeClass } from './domain/request.js';
export type { AdmittedRequest, InferRequest, ShapeClass } from './domain/request.js';
export type { Datatype, Tensor } from './domain/tensor.js';
