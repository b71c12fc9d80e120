import type { Exposition, Family, Histogram, Sample } from './exposition.js';

/*
 * Every metric that Sponge exposes: name, help, labels, buckets. Values come from `model-meter.ts` (per model) and
 * `metrics.ts` (the process). Units are base units (seconds, bytes), as Prometheus advises, with two exceptions: CPU is in
 * millicores everywhere in Sponge, and `nv_*` keeps the names, units and meanings of Triton Inference Server, because
 * dashboards and autoscalers are keyed to them.
 *
 * Buckets are fixed, so that series of two versions of the server can be compared.
 */

/** 1-2-5 steps from half a millisecond (a tiny graph) to 10 s (the slowest model a request would wait for). */
const LATENCY_BUCKETS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** The same steps on both sides of zero, coarser below. */
const SLACK_BUCKETS_S = [-5, -2, -0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

const BATCH_SIZE_BUCKETS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128];

/** Dense around 1, where a good latency model has all of its mass. */
const RATIO_BUCKETS = [0.5, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.2, 1.3, 1.5, 2, 3, 5];

/** A cgroup write takes tens of microseconds; a resize through a cluster's control plane takes seconds. */
const RESIZE_BUCKETS_S = [0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5];

const MODEL = ['model', 'version'] as const;

type OfModel<Label extends string> = 'model' | 'version' | Label;

export function createMetricSet(exposition: Exposition) {
  const counter = <T extends string = never>(
    name: string,
    help: string,
    ...labels: readonly T[]
  ): Family<OfModel<T>, Sample> => exposition.counter<OfModel<T>>(name, help, [...MODEL, ...labels]);
  const gauge = <T extends string = never>(
    name: string,
    help: string,
    ...labels: readonly T[]
  ): Family<OfModel<T>, Sample> => exposition.gauge<OfModel<T>>(name, help, [...MODEL, ...labels]);
  const histogram = <T extends string = never>(
    name: string,
    help: string,
    bounds: readonly number[],
    ...labels: readonly T[]
  ): Family<OfModel<T>, Histogram> => exposition.histogram<OfModel<T>>(name, help, bounds, [...MODEL, ...labels]);
  const processCounter = (name: string, help: string): Sample => exposition.counter(name, help, []).of({});
  const processGauge = (name: string, help: string): Sample => exposition.gauge(name, help, []).of({});

  return {
    // Requests
    outcomes: counter(
      'sponge_outcomes_total',
      'Requests by what became of them; exactly one outcome each. reason is empty where a result was sent.',
      'outcome',
      'reason',
    ),
    deadlineMisses: counter(
      'sponge_deadline_misses_total',
      'Requests that were not completed on time, those cancelled before their deadline excepted. deadline: stated by the client, or the default of the model.',
      'deadline',
    ),
    variantAnswers: counter(
      'sponge_variant_answers_total',
      'Requests of a model with variants that were answered, by the variant that did.',
      'variant',
    ),
    budget: histogram(
      'sponge_budget_seconds',
      'SLO minus network delay: what was left to queue and compute when the request was there. deadline: stated or default.',
      LATENCY_BUCKETS_S,
      'deadline',
    ),
    networkDelay: histogram(
      'sponge_network_delay_seconds',
      'Network delay charged to a request, by what it was learned from.',
      LATENCY_BUCKETS_S,
      'source',
    ),
    slack: histogram(
      'sponge_slack_seconds',
      'Deadline minus predicted finish, at dispatch, of completed requests; negative where lateness was foreseen.',
      SLACK_BUCKETS_S,
    ),
    latency: histogram(
      'sponge_latency_seconds',
      'stage queue: admission to dispatch; worker: dispatch to reply; total: received to outcome (these three per completed request); compute: inside the model, per completed batch.',
      LATENCY_BUCKETS_S,
      'stage',
    ),
    queueDepth: gauge('sponge_queue_depth', 'Requests waiting in the queue.'),

    // Batches
    batchSize: histogram('sponge_batch_size', 'Requests per started batch.', BATCH_SIZE_BUCKETS),
    batches: counter('sponge_batches_total', 'Batches by how they ended.', 'result'),
    explorations: counter('sponge_explorations_total', 'Requests run although the latency model would refuse them.'),
    batchAudits: counter(
      'sponge_batch_audits_total',
      'Members of real batches that were run again alone, by what came of it; different turns batching off.',
      'result',
    ),
    latencyRatio: histogram(
      'sponge_actual_to_predicted_latency_ratio',
      'Measured over predicted (median) latency of completed batches; 1 is a perfect prediction.',
      RATIO_BUCKETS,
    ),
    spareReady: gauge('sponge_spare_ready', '1 while a spare process stands ready to take over, 0 otherwise.'),
    workerTakeovers: counter(
      'sponge_worker_takeovers_total',
      'Times that a spare process took over from a worker that was lost.',
    ),
    workerLosses: counter(
      'sponge_worker_losses_total',
      'Times the worker process died, hung or was replaced; with several, times the last of them did.',
    ),

    // Plan and allocation
    plans: counter('sponge_plans_total', 'Planning decisions, by what asked for them.', 'trigger'),
    planMillicores: gauge('sponge_plan_millicores', 'CPU that the plan in force wants.'),
    planBatchSize: gauge('sponge_plan_batch_size', 'Batch size of the plan in force.'),
    planInfeasible: gauge('sponge_plan_infeasible', '1 while not everything queued can be saved, 0 otherwise.'),
    allocation: gauge(
      'sponge_allocation_millicores',
      'CPU granted to each worker, as read back; to all together where each is resized by itself.',
    ),
    instanceAllocation: gauge(
      'sponge_instance_allocation_millicores',
      'CPU granted to one of several instances that are each resized by itself, as read back.',
      'instance',
    ),
    instanceBatches: counter(
      'sponge_instance_batches_total',
      'Batches that ended on one of several instances that are each resized by itself.',
      'instance',
    ),
    instanceBusySeconds: counter(
      'sponge_instance_busy_seconds_total',
      'Time in which one of several such instances had a batch; the one that runs counts until now.',
      'instance',
    ),
    instanceReady: gauge(
      'sponge_instance_ready',
      '1 while one of several such instances can run batches, 0 while it is started anew.',
      'instance',
    ),
    granted: gauge('sponge_granted_millicores', 'CPU that all instances of the model hold together, as read back.'),
    limit: gauge('sponge_limit_millicores', 'CPU that all instances of the model may have together.'),
    coreBudget: processGauge('sponge_core_budget_millicores', 'CPU that all models of this server may have together.'),
    instances: gauge('sponge_instances', 'Worker instances that can run batches now.'),
    resizes: counter(
      'sponge_resizes_total',
      'Resizes by result: written, unchanged (in force already, nothing written), refused.',
      'result',
    ),
    resizeSeconds: histogram('sponge_resize_seconds', 'Decision to read-back of written resizes.', RESIZE_BUCKETS_S),
    allocatedCpuSeconds: counter(
      'sponge_allocated_cpu_seconds_total',
      'Core-seconds: the integral of the larger of granted and used CPU, over windows of 100 ms, all instances with their cold starts and the idle floor included.',
    ),
    cpuSeconds: counter('sponge_cpu_seconds_total', "CPU used by the workers' resized groups, by the kernel's count."),
    cpuPeriods: counter('sponge_cpu_periods_total', 'Quota periods in which the group wanted to run.'),
    cpuThrottledPeriods: counter(
      'sponge_cpu_throttled_periods_total',
      'Quota periods in which the group was throttled.',
    ),
    cpuThrottledSeconds: counter('sponge_cpu_throttled_seconds_total', 'Time for which the group was throttled.'),

    // The pod that it runs in: no series without one
    podLimit: exposition.gauge(
      'sponge_pod_limit_millicores',
      "CPU limit of our own pod. of in-force: the kernel's quota; wished: asked for last, by us or somebody else; needed: of all allocations; reachable: the most that all allocations can have now or after a resize.",
      ['of'],
    ),
    podResizes: exposition.counter(
      'sponge_pod_resizes_total',
      'What came of resizes of our own pod: asked, in-force, deferred, infeasible, refused, unreachable, contested.',
      ['result'],
    ),
    podResizeBlocked: exposition.gauge(
      'sponge_pod_resize_blocked',
      '1 while our own pod cannot be given more CPU, by reason; no series while it can.',
      ['reason'],
    ),
    podResizeSeconds: exposition.histogram(
      'sponge_pod_resize_seconds',
      'Resizes of our own pod: from the decision to the quota, as read in the container.',
      RESIZE_BUCKETS_S,
      [],
    ),

    // The router itself
    routerCpuSeconds: processCounter(
      'sponge_router_cpu_seconds_total',
      "CPU used outside the resized groups: the router and its workers' socket threads.",
    ),
    edgeRefusals: exposition.counter(
      'sponge_edge_refusals_total',
      'Calls that were answered before they were a request, by protocol and cause: a reason, or a kind of error. With sponge_outcomes_total they are all the answers that clients got.',
      ['protocol', 'reason'],
    ),
    stepParts: gauge(
      'sponge_pipeline_step_parts',
      'Parts at a step of a pipeline now: waiting, running.',
      'step',
      'state',
    ),
    stepPartsTotal: counter(
      'sponge_pipeline_step_parts_total',
      'Parts that have left a step of a pipeline: done, or lost with their request.',
      'step',
      'result',
    ),
    stepSeconds: counter('sponge_pipeline_step_seconds_total', 'Time of parts at a step: wait, run.', 'step', 'stage'),
    stepCoreSeconds: counter(
      'sponge_pipeline_step_core_seconds_total',
      'Shares of the cores that parts of a step ran on; those of a function as of one core.',
      'step',
    ),
    pipelineDrops: counter(
      'sponge_pipeline_drops_total',
      'Requests of a pipeline without an answer, by the step that they were lost at; (door): before the first.',
      'step',
      'reason',
    ),
    traceSpans: exposition.counter(
      'sponge_trace_spans_total',
      'Spans of traced requests, by what became of them: exported, failed (the collector took none), dropped (there was no room for them). Only where spans are asked for.',
      ['result'],
    ),
    pressure: processGauge(
      'sponge_pressure',
      'Of new calls, the part that the server turns away because of its own condition, in [0, 1].',
    ),
    eventLoopDelay: exposition.gauge(
      'sponge_event_loop_delay_seconds',
      "How late the router's event loop was since the last scrape: quantiles over looks 20 ms apart; 1 is the longest stop.",
      ['quantile'],
    ),
    ioThreadDelay: exposition.gauge(
      'sponge_io_thread_event_loop_delay_seconds',
      'The same of each thread of --io-threads.',
      ['thread', 'quantile'],
    ),
    routerMemory: processGauge('sponge_router_resident_memory_bytes', 'Resident memory of the router process.'),

    // Triton's names
    nvRequestSuccess: counter('nv_inference_request_success', 'Requests answered with a result.'),
    nvRequestFailure: counter(
      'nv_inference_request_failure',
      'Requests not answered with a result. REJECTED: infeasible, overload or expired.',
      'reason',
    ),
    nvInferenceCount: counter('nv_inference_count', 'Inferences performed: rows of completed batches.'),
    nvExecutionCount: counter('nv_inference_exec_count', 'Model executions: completed batches.'),
    nvPending: gauge('nv_inference_pending_request_count', 'Requests waiting in the queue.'),
    nvRequestDuration: counter(
      'nv_inference_request_duration_us',
      'Cumulative time of successful requests, received to outcome.',
    ),
    nvQueueDuration: counter('nv_inference_queue_duration_us', 'Cumulative time that successful requests were queued.'),
    nvComputeInputDuration: counter(
      'nv_inference_compute_input_duration_us',
      'Always 0: inputs are sent to the worker while the request is queued and are counted there.',
    ),
    nvComputeInferDuration: counter(
      'nv_inference_compute_infer_duration_us',
      'Cumulative time inside the model; a batch of n requests counts n times.',
    ),
    nvComputeOutputDuration: counter(
      'nv_inference_compute_output_duration_us',
      'Cumulative time from dispatch to reply outside the model (link, splitting of outputs); a batch of n requests counts n times.',
    ),
    nvCpuUtilization: processGauge('nv_cpu_utilization', 'CPU use of the whole machine since the last scrape, 0 to 1.'),
    nvCpuMemoryTotal: processGauge('nv_cpu_memory_total_bytes', 'Memory of the whole machine.'),
    nvCpuMemoryUsed: processGauge('nv_cpu_memory_used_bytes', 'Memory in use on the whole machine, caches excluded.'),
  };
}

export type MetricSet = ReturnType<typeof createMetricSet>;
