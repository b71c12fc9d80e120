import type { Logger } from 'pino';
import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import { outcomeName } from '../../scheduler/domain/outcome.js';
import { plannedMillicores } from '../../scheduler/domain/plan.js';
import { reasonText } from '../../scheduler/domain/plan-bound.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import type { Attached } from './attached.js';
import { LineBound } from './line-bound.js';

/*
 * The event stream as log lines: why each request that did not go well did not, and what each batch was predicted to take
 * and took.
 *
 * - warn: worker lost, a request or batch failed, a resize refused
 * - info: worker ready, every completed batch, refused and late requests, plan changes
 * - debug: also requests that were completed on time or cancelled, resizes and numbers of instances
 *
 * Overload must not turn into a flood of lines: above `debug`, each kind of line has a budget per second, and what exceeds
 * it is counted and logged as one summary at the end of that second. With `debug` on, everything is logged.
 */

/** Enough to see what goes on, few enough to read. */
const LINES_PER_SECOND = 10;

export interface EventLogOptions {
  readonly logger: Logger;
  /** For the end of a second in which lines were held back. Its instants are those of the events. */
  readonly clock: Clock;
  /** Of each kind, per model; 10 by default. */
  readonly linesPerSecond?: number;
}

export interface LoggedModel {
  readonly model: string;
  readonly version: string;
  /** The client's own id of a request, if it gave one. Asked when the request's outcome is logged. */
  readonly clientIdOf?: (sequence: number) => string | undefined;
}

export class EventLog {
  private readonly options: EventLogOptions;
  private readonly modelLogs = new Set<ModelLog>();

  constructor(options: EventLogOptions) {
    this.options = options;
  }

  attachModel(model: LoggedModel): Attached {
    const modelLog = new ModelLog(this.options, model);
    this.modelLogs.add(modelLog);
    return {
      observe: (event) => modelLog.observe(event),
      detach: () => {
        modelLog.flush();
        this.modelLogs.delete(modelLog);
      },
    };
  }

  /** Logs the summaries that are due later, and stops their timers. */
  close(): void {
    for (const modelLog of this.modelLogs) modelLog.flush();
  }
}

type Finished = Extract<Event, { kind: 'request-finished' }>;
type BatchStarted = Extract<Event, { kind: 'batch-started' }>;
type BatchEnded = Extract<Event, { kind: 'batch-ended' }>;
type Planned = Extract<Event, { kind: 'planned' }>;

class ModelLog {
  private readonly logger: Logger;
  private readonly clientIdOf: (sequence: number) => string | undefined;
  private readonly batches: LineBound;
  private readonly failedBatches: LineBound;
  private readonly refusedRequests: LineBound;
  private readonly lateRequests: LineBound;
  private readonly failedRequests: LineBound;
  private readonly plans: LineBound;
  private readonly refusedResizes: LineBound;
  /** Batches that run, by id: the end of one is logged with what was predicted at its start. */
  private readonly running = new Map<number, BatchStarted>();
  private lastPlan: Planned['plan'] | null = null;

  constructor({ logger, clock, linesPerSecond = LINES_PER_SECOND }: EventLogOptions, model: LoggedModel) {
    this.logger = logger.child({ model: model.model, version: model.version });
    this.clientIdOf = model.clientIdOf ?? (() => undefined);
    const bound = (level: 'info' | 'warn', topic: string) =>
      new LineBound(this.logger, clock, level, topic, linesPerSecond);
    this.batches = bound('info', 'batches completed');
    this.failedBatches = bound('warn', 'batches failed');
    this.refusedRequests = bound('info', 'requests refused');
    this.lateRequests = bound('info', 'requests completed late');
    this.failedRequests = bound('warn', 'requests failed');
    this.plans = bound('info', 'plan changes');
    this.refusedResizes = bound('warn', 'resizes refused');
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'request-finished':
        this.logOutcome(event);
        return;
      case 'batch-started':
        this.running.set(event.batchId, event);
        return;
      case 'batch-ended':
        this.logBatch(event);
        return;
      case 'planned':
        this.logPlanChange(event);
        return;
      case 'resize-requested':
        this.logger.debug(
          { fromMillicores: event.fromMillicores, toMillicores: event.toMillicores },
          'resize requested',
        );
        return;
      case 'resized':
        this.logger.debug(
          { cpuMillicores: event.cpuMillicores, isWritten: event.isWritten, tookMs: round(event.tookMs) },
          'resized',
        );
        return;
      case 'resize-refused':
        this.refusedResizes.log(event.atMs, 'refused', 'resize refused', () => ({ cause: event.message }));
        return;
      case 'worker-lost':
        this.logger.warn({ cause: event.message, restartEstimateMs: round(event.restartEstimateMs) }, 'worker lost');
        return;
      case 'worker-ready':
        this.logger.info(event.isTakeover === true ? 'worker ready: a spare process took over' : 'worker ready');
        return;
      case 'router-standstill':
        return;
      case 'instances-requested':
        this.logger.debug(
          { fromInstances: event.fromInstances, toInstances: event.toInstances },
          'another number of instances requested',
        );
        return;
      case 'instances-changed':
        this.logger.debug({ instances: event.instances }, 'instances ready');
        return;
      // Told by how the request ends.
      case 'request-received':
      case 'request-admitted':
        return;
    }
  }

  flush(): void {
    this.batches.flush();
    this.failedBatches.flush();
    this.refusedRequests.flush();
    this.lateRequests.flush();
    this.failedRequests.flush();
    this.plans.flush();
    this.refusedResizes.flush();
  }

  private logOutcome({ atMs, request, outcome }: Finished): void {
    switch (outcome.kind) {
      case 'completed': {
        const { service } = outcome;
        const fields = () => ({
          ...this.describe(request),
          batchId: service.batchId,
          queuedMs: round(service.queuedMs),
          slackAtDispatchMs: round(service.slackAtDispatchMs),
          latencyMs: round(service.latencyMs),
        });
        if (outcome.isLate) {
          this.lateRequests.log(atMs, 'completed_late', 'request completed late', () => ({
            ...fields(),
            lateByMs: round(atMs - request.dueAtMs),
          }));
        } else if (this.logger.isLevelEnabled('debug')) {
          this.logger.debug(fields(), 'request completed on time');
        }
        return;
      }
      case 'cancelled':
        if (this.logger.isLevelEnabled('debug')) this.logger.debug(this.describe(request), 'request cancelled');
        return;
      case 'expired':
      case 'rejected-infeasible':
      case 'rejected-overload':
        this.refusedRequests.log(atMs, outcome.reason, 'request refused', () => ({
          ...this.describe(request),
          outcome: outcomeName(outcome),
          reason: outcome.reason,
          ...describeRefusal(outcome),
        }));
        return;
      case 'failed':
        this.failedRequests.log(atMs, outcome.reason, 'request failed', () => ({
          ...this.describe(request),
          reason: outcome.reason,
          cause: outcome.message,
        }));
        return;
    }
  }

  private logBatch(ended: BatchEnded): void {
    const started = this.running.get(ended.batchId);
    this.running.delete(ended.batchId);
    const fields = () => ({
      batchId: ended.batchId,
      batchSize: ended.batchSize,
      cpuMillicores: started?.cpuMillicores,
      threadCount: started?.threadCount,
      shapeClass: started?.shapeClassKey,
      predictedLatencyMs: started && round(started.predictedLatencyMs),
      plannedLatencyMs: started && round(started.plannedLatencyMs),
      latencyMs: round(ended.latencyMs),
      computeMs: round(ended.computeMs),
      actualToPredicted: ended.actualToPredicted === null ? undefined : round(ended.actualToPredicted),
    });
    if (ended.result === 'completed') this.batches.log(ended.atMs, 'completed', 'batch completed', fields);
    else {
      this.failedBatches.log(ended.atMs, ended.result, 'batch failed', () => ({ result: ended.result, ...fields() }));
    }
  }

  /** The planner runs at every arrival; a line is worth it only when the plan is another one. */
  private logPlanChange({ atMs, plan, trigger }: Planned): void {
    const last = this.lastPlan;
    this.lastPlan = plan;
    const isSame =
      last?.kind === plan.kind &&
      plannedMillicores(last) === plannedMillicores(plan) &&
      last.batchSize === plan.batchSize;
    if (isSame) return;
    this.plans.log(atMs, plan.kind, plan.kind === 'feasible' ? 'plan' : 'plan infeasible', () => ({
      cpuMillicores: plannedMillicores(plan),
      batchSize: plan.batchSize,
      trigger,
      cause: plan.kind === 'feasible' ? reasonText(plan) : plan.reason,
    }));
  }

  private describe(request: InferRequest): Record<string, string | number | undefined> {
    return {
      sequence: request.sequence,
      id: this.clientIdOf(request.sequence),
      sloMs: round(request.sloMs),
      budgetMs: round(request.sloMs - request.networkDelayMs),
      networkDelayMs: round(request.networkDelayMs),
      networkDelaySource: request.networkDelaySource,
    };
  }
}

/** To microseconds: what is finer than that is noise. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

type Refusal = Extract<Finished['outcome'], { kind: 'expired' | 'rejected-infeasible' | 'rejected-overload' }>;

function describeRefusal(outcome: Refusal): Record<string, number> {
  if (outcome.kind === 'expired') return { lateByMs: round(outcome.lateByMs) };
  const { bestCaseMs, remainingBudgetMs } = outcome;
  const fields = { bestCaseMs: round(bestCaseMs), remainingBudgetMs: round(remainingBudgetMs) };
  if (outcome.kind === 'rejected-infeasible') return fields;
  const { earliestFinishMs, retryAfterMs } = outcome;
  return { ...fields, earliestFinishMs: round(earliestFinishMs), retryAfterMs: round(retryAfterMs) };
}
