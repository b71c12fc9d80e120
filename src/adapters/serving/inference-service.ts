import { dirname, join, sep } from 'node:path';
import { PeerNetwork } from '../../dataplane/peer-network.js';
import { resolveBudget } from '../../dataplane/budget.js';
import type { Clock } from '../../clock/clock.js';
import type { Outcome } from '../../domain/outcome.js';
import type { InferRequest } from '../../domain/request.js';
import type { Tensor } from '../../domain/tensor.js';
import { readDeadlineInputs } from '../oip/parameters.js';
import {
  OipFailure,
  type Arrival,
  type Explanation,
  type InferCall,
  type InferenceService,
  type InferReply,
  type ModelEntry,
  type ModelStatistics,
} from '../oip/service.js';
import type { Telemetry } from '../telemetry/metrics.js';
import type { ModelSource } from './model-repository.js';
import type { ServedModel } from './served-model.js';
import { mustRunAlone, shapeClassOf } from './shape-class.js';

/*
 * What REST and gRPC call: turns a protocol call into a request with a deadline, hands it to its model's system, and the
 * outcome back. The only place where wall time meets the monotonic clock, for clients that stamp what they send.
 */

/** Weight of the newest reply in the mean reply size that the reply reserve is reckoned from. */
const REPLY_SIZE_GAIN = 0.2;

export interface InferenceServiceOptions {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Unix ms. */
  readonly readUnixMs: () => number;
}

interface Registered {
  readonly served: ServedModel;
  replyBytes: number;
}

export class Inference implements InferenceService {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly #options: InferenceServiceOptions;
  readonly #models = new Map<string, Registered>();
  /** Models that are still being loaded, by name. */
  readonly #expected = new Map<string, ModelSource>();
  /** Models that could not be loaded, and why. */
  readonly #failed = new Map<string, { readonly source: ModelSource; readonly reason: string }>();
  readonly #network = new PeerNetwork();
  /** The ids that clients gave their requests, by sequence, while they are held. */
  readonly #clientIds = new Map<number, string>();
  #nextSequence = 1;
  #isDraining = false;

  constructor(options: InferenceServiceOptions) {
    this.serverName = options.serverName;
    this.serverVersion = options.serverVersion;
    this.#options = options;
  }

  /** A model that will be added; until then the server is not ready, and the model is loading. */
  expect(source: ModelSource): void {
    this.#expected.set(source.name, source);
  }

  /** It could not be loaded, and will not be: it is listed, and answers why. */
  fail(source: ModelSource, reason: string): void {
    this.#expected.delete(source.name);
    this.#failed.set(source.name, { source, reason: withoutFolder(reason, source) });
  }

  add(served: ServedModel): void {
    this.#expected.delete(served.source.name);
    this.#models.set(served.source.name, { served, replyBytes: 0 });
  }

  /** Not ready from now on; calls in progress go on. */
  drain(): void {
    this.#isDraining = true;
  }

  clientIdOf(sequence: number): string | undefined {
    return this.#clientIds.get(sequence);
  }

  // ---- InferenceService --------------------------------------------------------------------------------------------

  isLive(): boolean {
    return true;
  }

  isReady(): boolean {
    const isUp = !this.#isDraining && this.#expected.size === 0;
    // Of the others each one's own readiness tells: this one takes all of them from behind a load balancer.
    return isUp && [...this.#models.values()].some(({ served }) => served.state === 'READY');
  }

  models(): readonly ModelEntry[] {
    const loaded = [...this.#models.values()].map(({ served }) => this.#entryOf(served));
    const failed = [...this.#failed.values()].map(({ source, reason }) => failedEntry(source, reason));
    return [...loaded, ...[...this.#expected.values()].map(loadingEntry), ...failed];
  }

  model(name: string, version?: string): ModelEntry {
    const expected = this.#expected.get(name);
    if (expected !== undefined) return loadingEntry(expected);
    const failed = this.#failed.get(name);
    if (failed !== undefined) return failedEntry(failed.source, failed.reason);
    return this.#entryOf(this.#find(name, version).served);
  }

  statistics(name?: string, version?: string): readonly ModelStatistics[] {
    if (name !== undefined) this.#find(name, version);
    return this.#options.telemetry.statistics(name, version);
  }

  async infer(call: InferCall, signal: AbortSignal): Promise<InferReply> {
    try {
      const registered = this.#find(call.modelName, call.modelVersion);
      const { request, explanation } = this.#toRequest(call, registered);
      if (call.id !== undefined) this.#clientIds.set(request.sequence, call.id);
      const outcome = await submit(registered.served, request, signal);
      this.#clientIds.delete(request.sequence);
      const { served } = registered;
      if (outcome.kind === 'completed') served.learnFrom(call.inputs, outcome.outputs, outcome.service.batchSize);
      return this.#toReply(registered, outcome, explanation);
    } catch (error) {
      if (error instanceof OipFailure) return { kind: 'error', error: error.error };
      throw error;
    }
  }

  // ---- translation -------------------------------------------------------------------------------------------------

  #find(name: string, version?: string): Registered {
    const registered = this.#models.get(name);
    if (this.#expected.has(name)) throw new OipFailure('unavailable', `model '${name}' is still being loaded`);
    const failed = this.#failed.get(name);
    if (failed !== undefined) {
      throw new OipFailure('unavailable', `model '${name}' could not be loaded: ${failed.reason}`);
    }
    if (registered === undefined) {
      throw new OipFailure('not_found', `Request for unknown model: '${name}' is not served here`);
    }
    const served = registered.served.source.version;
    if (version !== undefined && version !== '' && version !== served) {
      throw new OipFailure(
        'not_found',
        `Request for unknown model: '${name}' has no version ${version} here, only ${served}`,
      );
    }
    return registered;
  }

  #entryOf(served: ServedModel): ModelEntry {
    const { name, version } = served.source;
    const state = this.#isDraining ? 'UNLOADING' : served.state;
    return {
      name,
      version,
      versions: [version],
      state,
      stateReason: this.#isDraining ? 'the server is shutting down' : served.stateReason,
      signature: served.signature,
      maxBatchSize: served.isBatchable ? served.pool.maxBatchSize : 0,
      takesLargerRequests: served.takesLargerRequests,
      platform: 'onnxruntime_onnx',
    };
  }

  #toRequest(call: InferCall, { served, replyBytes }: Registered): { request: InferRequest; explanation: Explanation } {
    const { arrival } = call;
    const inputs = readDeadlineInputs(call);
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
      statedBudgetsMs: inputs.statedBudgetsMs,
      defaultSloMs: served.defaultSloMs,
      expectedReplyMs: this.#network.expectedReplyMs(link, replyBytes),
      routerDelayMs: arrival.routerDelayMs,
      ...(inputs.declaredUploadMs === undefined ? {} : { declaredUploadMs: inputs.declaredUploadMs }),
      ...(sendStampDelayMs === undefined ? {} : { sendStampDelayMs }),
    });
    // Spreads come last, here and wherever an object is made for each request: of one that gets more properties after a spread, V8 in
    // Node 20 makes a hidden class for each object anew, which takes 7 µs and half a KB, and makes all that reads it slow.
    const request: InferRequest = {
      sequence: this.#nextSequence++,
      receivedAtMs: arrival.receivedAtMs,
      client,
      isBestEffort: inputs.isBestEffort,
      priority: inputs.priority ?? 0,
      shapeClass: shapeClassOf(call.inputs, served.isBatchable),
      mustRunAlone: served.isBatchable && mustRunAlone(served.signature, call.inputs),
      byteCount: byteCountOf(call.inputs),
      inputs: call.inputs,
      outputNames: call.outputNames,
      ...budget,
      ...(served.poison.knows(arrival.receivedAtMs, call.inputs) ? { isPoison: true } : {}),
    };
    const explanation: Explanation = {
      sloMs: budget.sloMs,
      budgetMs: budget.dueAtMs - arrival.receivedAtMs,
      networkDelayMs: budget.networkDelayMs,
      networkDelaySource: budget.networkDelaySource,
      routerDelayMs: budget.routerDelayMs,
      isDeadlineDefaulted: budget.isDeadlineDefaulted,
    };
    return { request, explanation };
  }

  #toReply(registered: Registered, outcome: Outcome, explanation: Explanation): InferReply {
    if (outcome.kind !== 'completed') return { kind: 'refused', outcome, explanation };
    const replyBytes = byteCountOf(outcome.outputs);
    registered.replyBytes += REPLY_SIZE_GAIN * (replyBytes - registered.replyBytes);
    const { name, version } = registered.served.source;
    return { kind: 'ok', modelName: name, modelVersion: version, outputs: outcome.outputs, outcome, explanation };
  }

  #unixMsAt(atMs: number): number {
    return this.#options.readUnixMs() - (this.#options.clock.nowMs() - atMs);
  }
}

/** Whoever has a token is who it says, whatever it calls itself. Nobody can take another's address by naming itself so. */
function clientOf({ tokenName, peer }: Arrival, name: string | undefined): string {
  if (tokenName !== undefined) return `token ${tokenName}`;
  return name === undefined ? `address ${peer}` : `name ${name}`;
}

/** Clients have no business with where on the machine a model is. */
function withoutFolder(reason: string, { modelPath }: ModelSource): string {
  // Its own, and the one above, where a repository has its settings.
  const folders = [dirname(modelPath), dirname(dirname(modelPath))].filter((folder) => folder.length > 1);
  return folders.reduce((text, folder) => text.replaceAll(join(folder, sep), ''), reason);
}

function failedEntry(source: ModelSource, reason: string): ModelEntry {
  return { ...loadingEntry(source), state: 'UNAVAILABLE', stateReason: reason };
}

function loadingEntry({ name, version }: ModelSource): ModelEntry {
  return {
    name,
    version,
    versions: [version],
    state: 'LOADING',
    stateReason: 'the model is being loaded and measured',
    signature: null,
    maxBatchSize: 0,
    platform: 'onnxruntime_onnx',
  };
}

function submit(served: ServedModel, request: InferRequest, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const cancel = (): void => served.system.cancel(request.sequence);
    served.system.submit(request, (outcome) => {
      signal.removeEventListener('abort', cancel);
      resolve(outcome);
    });
    // A client that left before now is cancelled all the same; a finished request is not known any more.
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
  });
}

function byteCountOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}
