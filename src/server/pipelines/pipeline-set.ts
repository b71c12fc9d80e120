import type { Attached } from '../telemetry/attached.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { Clock } from '../../scheduler/clock/clock.js';
import type { ModelSource } from '../models/model-repository.js';
import type { Inference } from '../served/inference-service.js';
import { Parts } from '../served/parts.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { LiveFeed } from '../telemetry/live-feed.js';
import type { Telemetry } from '../telemetry/metrics.js';
import type { Tracing } from '../tracing/tracing.js';
import type { ServerOptions } from '../server-options.js';
import type { PipelineSource } from './pipeline-source.js';
import { describePipelineRun } from './run-pipeline.js';
import { ServedPipeline } from './served-pipeline.js';
import { StepRecords } from './step-records.js';

/*
 * The pipelines of a server, which come and go as its models do. One takes another's place in one step; the other answers what it has.
 */

export interface PipelineSetOptions {
  readonly server: Pick<ServerOptions, 'queueLimits' | 'drainMs' | 'logger' | 'onProgress'>;
  readonly clock: Clock;
  readonly service: Inference;
  readonly telemetry: Telemetry;
  readonly eventLog: EventLog;
  readonly feed: LiveFeed;
  /** Null: nobody asks for spans. */
  readonly tracing: Tracing | null;
  /** Of tensors between steps, for each pipeline. */
  readonly maxBytes: number;
}

/**
 * Requests of one pipeline: each that comes is weighed against all that are held, which takes 0.2 ms of the router with so many and 8 with
 * 10,000, and whoever sends them would stop it for all.
 */
const MOST_HELD = 256;

export class PipelineSet {
  readonly #options: PipelineSetOptions;
  readonly #members = new Map<ServedPipeline, Parts>();
  readonly #stepRecords = new Set<StepRecords>();

  constructor(options: PipelineSetOptions) {
    this.#options = options;
  }

  /** @throws Error of one line where it cannot be served; nothing is left of it then, and the old one goes on */
  async add(source: ModelSource, pipeline: PipelineSource, old: ServedPipeline | null): Promise<ServedPipeline> {
    const { server, clock, service, telemetry, eventLog, tracing, maxBytes } = this.#options;
    const { listings } = service;
    const { name: model, version } = source;
    listings.expect(source);
    server.onProgress(`loading ${model}`);
    const own = new Parts();
    const observers: Attached['observe'][] = [];
    const begun = await ServedPipeline.start(source, pipeline, {
      ...{ clock, listings, maxBytes, tracing, starts: service.partStarts },
      nextSequence: () => service.nextSequence(),
      maxRequests: Math.min(server.queueLimits.maxRequests, MOST_HELD),
      onEvent: (event) => {
        for (const observe of observers) observe(event);
      },
      onLog: (line) => server.logger.warn({ model, version }, line),
    });
    const meter = telemetry.attachModel({
      ...{ model, version, limitMillicores: 0, millicores: [0] },
      isReady: () => begun.state === 'READY',
      isSpareReady: () => false,
      readCounters: () => null,
      queueDepth: () => begun.system.heldRequests,
    });
    const log = eventLog.attachModel({ model, version, clientIdOf: (sequence) => service.clientIdOf(sequence) });
    for (const each of [meter, log]) own.add(each, ({ detach }) => detach());
    own.add(telemetry.attachSteps({ model, version, counts: () => begun.meter.counts }), (detach) => detach());
    observers.push((event) => begun.meter.observe(event));
    observers.push((event) => asRuns(event).forEach(meter.observe), log.observe);
    if (tracing !== null) observers.push(tracing.attachPipeline().observe);
    this.#follow(begun, observers, own);
    this.#members.set(begun, own);
    listings.addPipeline(begun);
    if (old !== null) void this.remove(old);
    return begun;
  }

  /** In the live feed and the event log: its requests, and what goes on at its steps. */
  #follow(pipeline: ServedPipeline, observers: Attached['observe'][], own: Parts): void {
    const { clock, feed } = this.#options;
    const run = describePipelineRun(pipeline);
    if (run === null) return;
    const fed = own.add(feed.attachModel(run), ({ detach }) => detach());
    const records = own.add(
      new StepRecords({
        clock,
        read: () => pipeline.meter.pipelineCounts,
        isBusy: () => pipeline.system.heldRequests > 0,
        tell: fed.tell,
      }),
      (part) => {
        part.close();
        this.#stepRecords.delete(part);
      },
    );
    this.#stepRecords.add(records);
    // What is told of a request comes before what it did to the counts.
    observers.push(fed.observe, () => records.touch());
  }

  /** Takes no more calls for it; resolves when those that it has are answered, or the time for that is over. */
  async remove(pipeline: ServedPipeline): Promise<void> {
    const own = this.#members.get(pipeline);
    if (own === undefined) return;
    this.#members.delete(pipeline);
    this.#options.service.listings.removePipeline(pipeline);
    await this.#drained(pipeline);
    await pipeline.close();
    await own.close();
  }

  async drain(): Promise<void> {
    await Promise.all([...this.#members.keys()].map((pipeline) => this.#drained(pipeline)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members.keys()].map((pipeline) => pipeline.close()));
    this.#members.clear();
    // What is told of a server that ends stays as it is, and is complete.
    for (const records of this.#stepRecords) records.close();
  }

  async #drained({ system }: ServedPipeline): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.server.drainMs);
    });
    await Promise.race([new Promise<void>((resolve) => system.drain(resolve)), timeout]);
    clearTimeout(timer);
  }
}

/** For statistics that count executions: a request that was answered is one of the pipeline. */
function asRuns(event: Event): readonly Event[] {
  if (event.kind !== 'request-finished' || event.outcome.kind !== 'completed') return [event];
  const { cpuMillicores, threadCount, latencyMs, plannedLatencyMs } = event.outcome.service;
  const run = { atMs: event.atMs, batchId: event.request.sequence, batchSize: 1, rowCount: 1 };
  const started: Event = {
    ...{ kind: 'batch-started', sequences: [event.request.sequence], cpuMillicores, threadCount, plannedLatencyMs },
    ...{ predictedLatencyMs: plannedLatencyMs, shapeClassKey: event.request.shapeClass.key, isExploring: false },
    ...run,
  };
  const ended: Event = {
    ...{ kind: 'batch-ended', result: 'completed', latencyMs, computeMs: latencyMs, actualToPredicted: null },
    ...run,
  };
  return [started, ended, event];
}
