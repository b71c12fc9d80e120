import { PeerNetwork } from '../../scheduler/dataplane/peer-network.js';
import { resolveBudget } from '../../scheduler/dataplane/budget.js';
import type { Clock } from '../../scheduler/clock/clock.js';
import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import { holdAll, type Tensor } from '../../scheduler/domain/tensor.js';
import { readDeadlineInputs } from '../../protocol/parameters.js';
import type { ModelRepository } from '../../protocol/repository.js';
import {
  invalid,
  OipFailure,
  type Arrival,
  type BodyPlace,
  type Departure,
  type Explanation,
  type InferCall,
  type InferenceService,
  type InferReply,
  type ModelEntry,
  type ModelStatistics,
} from '../../protocol/service.js';
import { reached } from '../path-points.js';
import { priorityOf } from '../models/as-configured.js';
import type { Telemetry } from '../telemetry/metrics.js';
import type { Tracing } from '../tracing/tracing.js';
import { ModelListings, type Registered } from '../models/model-listings.js';
import type { ModelSource } from '../models/model-repository.js';
import { PodReports } from './pod-reports.js';
import { PartStarts } from '../pipelines/part-starts.js';
import type { ServedPipeline } from '../pipelines/served-pipeline.js';
import { mustRunAlone, shapeClassOf } from './shape-class.js';

/*
 * What REST and gRPC call: turns a protocol call into a request with a deadline, hands it to its model's system, and the
 * outcome back. The only place where wall time meets the monotonic clock, for clients that stamp what they send.
 */

/** Weight of the newest in the mean sizes: of replies, by which their reserve is reckoned, and of requests. */
const SIZE_GAIN = 0.2;

/** What is in a smaller body mostly goes with its batch, in the frame that starts it. */
const LEAST_PLACED_BYTES = 16 * 1024;

/** Whoever sends slowly keeps others out for as long: not by one body. */
const MOST_OF_ARENA = 1 / 4;

export interface InferenceServiceOptions {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Whether a server without a model is ready: where models come when they are asked for. */
  readonly isReadyWithout: boolean;
  /** Unix ms. */
  readonly readUnixMs: () => number;
  /** Null: nobody asks for spans. */
  readonly tracing?: Tracing | null;
}

export class Inference implements InferenceService {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly #options: InferenceServiceOptions;
  readonly listings = new ModelListings();
  /** Set before anybody calls. */
  repository: ModelRepository | undefined;
  readonly reports: PodReports;
  readonly traces: Tracing | undefined;
  readonly partStarts = new PartStarts();
  readonly #network = new PeerNetwork();
  /** The ids that clients gave their requests, by sequence, while they are held. */
  readonly #clientIds = new Map<number, string>();
  #nextSequence = 1;
  #hasStarted = false;
  #onChange: () => void = () => undefined;
  #isDraining = false;

  constructor(options: InferenceServiceOptions) {
    this.serverName = options.serverName;
    this.serverVersion = options.serverVersion;
    this.#options = options;
    this.traces = options.tracing ?? undefined;
    this.reports = new PodReports({ clock: options.clock, listings: this.listings });
  }

  /** Every model that the server begins with is loaded, or has failed: it may be ready from now on. */
  started(): void {
    this.#hasStarted = true;
    this.#onChange();
  }

  /** Not ready from now on; calls in progress go on. */
  drain(): void {
    this.#isDraining = true;
    this.reports.drain();
    this.#onChange();
  }

  clientIdOf(sequence: number): string | undefined {
    return this.#clientIds.get(sequence);
  }

  // ---- InferenceService --------------------------------------------------------------------------------------------

  isLive(): boolean {
    return true;
  }

  isReady(): boolean {
    if (this.#isDraining || !this.#hasStarted) return false;
    const { served } = this.listings;
    // Of the others each one's own readiness tells: this one takes all of them from behind a load balancer.
    return served.length === 0 ? this.#options.isReadyWithout : served.some(({ state }) => state === 'READY');
  }

  models(): readonly ModelEntry[] {
    return this.listings.entries().map((entry) => this.#asOfNow(entry));
  }

  model(name: string, version?: string): ModelEntry {
    return this.#asOfNow(this.listings.entry(name, version));
  }

  statistics(name?: string, version?: string): readonly ModelStatistics[] {
    if (name !== undefined && this.listings.pipeline(name, version) === null) this.listings.find(name, version);
    return this.#options.telemetry.statistics(name, version);
  }

  /** No async function, and nothing here names the call below: of one that waits everything would be kept that has a name. */
  infer(call: InferCall, departure: Departure): Promise<InferReply> {
    reached('checked');
    const pipeline = this.listings.pipeline(call.modelName, call.modelVersion);
    if (pipeline !== null) return this.#inferPipeline(pipeline, call, departure);
    let registered: Registered;
    let request: InferRequest;
    try {
      registered = this.listings.find(call.modelName, call.modelVersion);
      request = this.#toRequest(call, registered);
      registered.requestBytes += SIZE_GAIN * (request.byteCount - registered.requestBytes);
    } catch (error) {
      if (error instanceof OipFailure) return Promise.resolve({ kind: 'error', error: error.error });
      throw error;
    }
    if (call.id !== undefined) this.#clientIds.set(request.sequence, call.id);
    if (call.pick !== undefined) this.reports.arrived(call.pick);
    if (this.traces !== undefined) this.#trace(this.traces, call, request, registered.served);
    return submit(registered.served.system, request, departure).then((outcome) =>
      this.#toReply(registered, request, outcome),
    );
  }

  /** Of the models' and of the pipelines' requests. */
  nextSequence(): number {
    return this.#nextSequence++;
  }

  placeFor(modelName: string, byteCount: number): BodyPlace | null {
    if (byteCount < LEAST_PLACED_BYTES) return null;
    const arena = this.listings.latest(modelName)?.served.pool.inputArena ?? null;
    return arena === null || byteCount > MOST_OF_ARENA * arena.byteCount ? null : arena.take(byteCount);
  }

  watchModels(listener: () => void): void {
    this.#onChange = listener;
    this.listings.onChange = listener;
  }

  #trace(
    traces: Tracing,
    { trace, id }: InferCall,
    request: InferRequest,
    { source }: { readonly source: ModelSource },
  ): void {
    traces.join(trace, request, source.name, source.version, id);
  }

  // ---- pipelines ---------------------------------------------------------------------------------------------------

  #inferPipeline(pipeline: ServedPipeline, sent: InferCall, departure: Departure): Promise<InferReply> {
    let request: InferRequest;
    let call: InferCall;
    try {
      call = pipeline.asTaken(sent);
      request = this.#toPipelineRequest(call, pipeline);
      pipeline.requestBytes += SIZE_GAIN * (request.byteCount - pipeline.requestBytes);
    } catch (error) {
      if (error instanceof OipFailure) return Promise.resolve({ kind: 'error', error: error.error });
      throw error;
    }
    if (call.id !== undefined) this.#clientIds.set(request.sequence, call.id);
    if (call.pick !== undefined) this.reports.arrived(call.pick);
    if (this.traces !== undefined) this.#trace(this.traces, call, request, pipeline);
    const { system, source } = pipeline;
    const { outputNames } = call;
    const submitting: Submitting = {
      submit: (each, onOutcome) =>
        system.submit(each, each.inputs, (outcome) => onOutcome(asAsked(outcome, outputNames))),
      cancel: (sequence) => system.cancel(sequence),
    };
    return submit(submitting, request, departure).then((outcome) => {
      this.#clientIds.delete(request.sequence);
      const explanation = explanationOf(request);
      if (outcome.kind !== 'completed') return { kind: 'refused', outcome, explanation };
      pipeline.replyBytes += SIZE_GAIN * (byteCountOf(outcome.outputs) - pipeline.replyBytes);
      const { name: modelName, version: modelVersion } = source;
      return { kind: 'ok', modelName, modelVersion, outputs: outcome.outputs, outcome, explanation };
    });
  }

  #toPipelineRequest(call: InferCall, { defaultSloMs, replyBytes, mostAccuracy }: ServedPipeline): InferRequest {
    const stated = readDeadlineInputs(call);
    const { leastAccuracy, accuracyWeight } = stated;
    if (mostAccuracy !== null && leastAccuracy !== undefined && leastAccuracy > mostAccuracy)
      throw invalid(
        `parameter 'sponge_least_accuracy': no variant has ${leastAccuracy}, the best one has ${mostAccuracy}`,
      );
    const { budget, client } = this.#deadlineOf(call, stated, stated.statedBudgetsMs, defaultSloMs, replyBytes);
    return {
      ...{ sequence: this.nextSequence(), receivedAtMs: call.arrival.receivedAtMs, client },
      ...budget,
      ...{ isBestEffort: stated.isBestEffort, priority: stated.priority ?? 0 },
      ...(leastAccuracy === undefined ? {} : { leastAccuracy }),
      ...(accuracyWeight === undefined ? {} : { accuracyWeight }),
      ...{ shapeClass: shapeClassOf(call.inputs, false), byteCount: byteCountOf(call.inputs) },
      ...{ inputs: call.inputs, outputNames: call.outputNames },
    };
  }

  // ---- translation -------------------------------------------------------------------------------------------------

  #asOfNow(entry: ModelEntry): ModelEntry {
    if (!this.#isDraining || entry.signature === null) return entry;
    return { ...entry, state: 'UNLOADING', stateReason: 'the server is shutting down' };
  }

  #toRequest(call: InferCall, { served, replyBytes, shapeClasses }: Registered): InferRequest {
    const { arrival } = call;
    const inputs = readDeadlineInputs(call);
    const tensors = served.contract.toModel(call.inputs);
    const hasBindingDefault = inputs.statedBudgetsMs.length === 0 && served.isDefaultSloBinding;
    const statedBudgetsMs = hasBindingDefault ? [served.defaultSloMs] : inputs.statedBudgetsMs;
    const { budget, client } = this.#deadlineOf(call, inputs, statedBudgetsMs, served.defaultSloMs, replyBytes);
    const shapeClass = shapeClassOf(tensors, served.isBatchable);
    const known = shapeClasses.get(shapeClass.key) ?? shapeClass;
    shapeClasses.set(known.key, known);
    // Each field by name: what is spread lies in an object of its own beside it. Elsewhere spreads come last in what is made for each request:
    // of an object that gets more after a spread V8 in Node 20 makes a hidden class anew, 7 µs and half a KB, and all that reads it is slow.
    return {
      sequence: this.nextSequence(),
      receivedAtMs: arrival.receivedAtMs,
      sloMs: budget.sloMs,
      networkDelayMs: budget.networkDelayMs,
      networkDelaySource: budget.networkDelaySource,
      replyReserveMs: budget.replyReserveMs,
      routerDelayMs: budget.routerDelayMs,
      dueAtMs: budget.dueAtMs,
      client,
      isDeadlineDefaulted: budget.isDeadlineDefaulted,
      isBestEffort: inputs.isBestEffort,
      priority: priorityOf(served.source, inputs.priority),
      shapeClass: known,
      mustRunAlone: served.isBatchable && mustRunAlone(served.contract.model, tensors),
      isPoison: served.poison.knows(arrival.receivedAtMs, tensors),
      byteCount: byteCountOf(tensors),
      inputs: tensors,
      outputNames: call.outputNames,
    };
  }

  /** When it is due, and whom it is from. */
  #deadlineOf(
    { arrival }: InferCall,
    inputs: ReturnType<typeof readDeadlineInputs>,
    statedBudgetsMs: readonly number[],
    defaultSloMs: number,
    replyBytes: number,
  ) {
    const client = clientOf(arrival, inputs.client);
    // Nobody can spoil what was learnt of another's network by naming itself so.
    const link = inputs.client === undefined ? arrival.peer : `${arrival.peer} ${inputs.client}`;
    const transferMs = arrival.receivedAtMs - arrival.firstByteAtMs;
    this.#network.observeTransfer(link, arrival.bodyBytes, transferMs - arrival.routerDelayMs);
    const sendStampDelayMs =
      inputs.sentAtUnixMs === undefined
        ? undefined
        : this.#network.sendStampDelayMs(link, inputs.sentAtUnixMs, this.#unixMsAt(arrival.receivedAtMs));
    const budget = resolveBudget({
      firstByteAtMs: arrival.firstByteAtMs,
      receivedAtMs: arrival.receivedAtMs,
      statedBudgetsMs,
      defaultSloMs,
      declaredUploadMs: inputs.declaredUploadMs,
      sendStampDelayMs,
      expectedReplyMs: this.#network.expectedReplyMs(link, replyBytes),
      routerDelayMs: arrival.routerDelayMs,
    });
    return { budget, client };
  }

  #toReply(registered: Registered, request: InferRequest, outcome: Outcome): InferReply {
    reached('settled');
    this.#clientIds.delete(request.sequence);
    const explanation = explanationOf(request);
    if (outcome.kind !== 'completed') return { kind: 'refused', outcome, explanation };
    const { served } = registered;
    served.learnFrom(request.inputs, outcome.outputs, outcome.service.batchSize);
    const replyBytes = byteCountOf(outcome.outputs);
    registered.replyBytes += SIZE_GAIN * (replyBytes - registered.replyBytes);
    const { name, version } = served.source;
    const outputs = served.contract.toClients(outcome.outputs);
    return { kind: 'ok', modelName: name, modelVersion: version, outputs, outcome, explanation };
  }

  #unixMsAt(atMs: number): number {
    return this.#options.readUnixMs() - (this.#options.clock.nowMs() - atMs);
  }
}

function explanationOf(request: InferRequest): Explanation {
  return {
    sloMs: request.sloMs,
    budgetMs: request.dueAtMs - request.receivedAtMs,
    networkDelayMs: request.networkDelayMs,
    networkDelaySource: request.networkDelaySource,
    routerDelayMs: request.routerDelayMs ?? 0,
    isDeadlineDefaulted: request.isDeadlineDefaulted,
  };
}

/** Whoever has a token is who it says, whatever it calls itself. Nobody can take another's address by naming itself so. */
function clientOf({ tokenName, peer }: Arrival, name: string | undefined): string {
  if (tokenName !== undefined) return `token ${tokenName}`;
  return name === undefined ? `address ${peer}` : `name ${name}`;
}

function submit(system: Submitting, request: InferRequest, departure: Departure): Promise<Outcome> {
  return new Promise((resolve) => {
    const cancel = (): void => system.cancel(request.sequence);
    system.submit(request, (outcome) => {
      departure.removeEventListener('abort', cancel);
      // Until the answer has been written, which is long after this.
      if (outcome.kind === 'completed') holdAll(outcome.outputs);
      resolve(outcome);
    });
    reached('admitted');
    // A client that left before now is cancelled all the same; a finished request is not known any more.
    if (departure.aborted) cancel();
    else departure.addEventListener('abort', cancel, { once: true });
  });
}

interface Submitting {
  submit(request: InferRequest, onOutcome: (outcome: Outcome) => void): void;
  cancel(sequence: number): void;
}

/** With the outputs that were asked for, in that order; a model's worker sees to it itself. */
function asAsked(outcome: Outcome, names: readonly string[]): Outcome {
  if (outcome.kind !== 'completed' || names.length === 0) return outcome;
  const outputs = names.flatMap((name) => outcome.outputs.filter((tensor) => tensor.name === name));
  return { ...outcome, outputs };
}

function byteCountOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}
