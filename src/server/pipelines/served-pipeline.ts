import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import { graphOf } from '../../scheduler/pipeline/graph.js';
import { ModelStep } from '../../scheduler/pipeline/model-step.js';
import type { VariantsSystem } from '../../scheduler/variants/variants-system.js';
import { variantsSignature, variantsSystem } from '../variants/variants-group.js';
import { PipelineSystem } from '../../scheduler/pipeline/pipeline-system.js';
import type { StepPort } from '../../scheduler/pipeline/step-port.js';
import type { ModelEntry, ModelState } from '../../protocol/service.js';
import type { ModelListings, Registered } from '../models/model-listings.js';
import type { ModelSource } from '../models/model-repository.js';
import { oneLine } from '../workers/load-failure.js';
import { pipelineSignature } from './contract.js';
import { FunctionStep } from './functions/function-step.js';
import type { PipelineSource } from './pipeline-source.js';
import { ServedStepModel, stepOutputs, stepRequest } from './step-request.js';

/*
 * One pipeline that is served. Its models are those that the server serves anyway, looked up anew for each part: one that takes another's place
 * takes it here too, and one that is gone makes the pipeline unavailable until it is back.
 */

export interface ServedPipelineOptions {
  readonly clock: Clock;
  readonly listings: ModelListings;
  readonly nextSequence: () => number;
  readonly maxRequests: number;
  /** Of tensors between steps, over all requests. */
  readonly maxBytes: number;
  readonly onEvent: (event: Event) => void;
  readonly onLog: (line: string) => void;
}

/** Of one request, what all of them may hold at most divided by this many. */
const LEAST_AT_A_TIME = 4;
const LEAST_DEFAULT_SLO_MS = 1000;
const DEFAULT_SLO_FACTOR = 10;

export class ServedPipeline {
  readonly source: ModelSource;
  readonly system: PipelineSystem | VariantsSystem;
  /** Mean size of replies of late, bytes. */
  replyBytes = 0;
  readonly #pipeline: PipelineSource;
  readonly #listings: ModelListings;
  readonly #functions: readonly FunctionStep[];
  readonly #stepModels = new WeakMap<Registered, ServedStepModel>();
  /** Checked against the models that are served: as long as these are the same. */
  #checked: { readonly models: readonly unknown[]; readonly signature: ModelSignature; readonly misfit: string };

  private constructor(
    source: ModelSource,
    pipeline: PipelineSource,
    options: ServedPipelineOptions,
    functions: ReadonlyMap<string, FunctionStep>,
    signature: ModelSignature,
  ) {
    this.source = source;
    this.#pipeline = pipeline;
    this.#listings = options.listings;
    this.#functions = [...functions.values()];
    this.#checked = { models: this.#models(), signature, misfit: '' };
    const { clock, listings, nextSequence, maxRequests, maxBytes, onEvent } = options;
    if (pipeline.variants !== undefined) {
      this.system = variantsSystem(pipeline, pipeline.variants, options, signature);
      return;
    }
    const graph = graphOf(pipeline.description);
    const ports = graph.steps.map((step): StepPort => {
      const target = pipeline.targets.get(step.name)!;
      if (target.kind === 'function') return functions.get(step.name)!;
      const outputNames = step.outputs.map(({ name }) => name);
      return new ModelStep({
        nowMs: () => clock.nowMs(),
        // Where each has a share of its own they do not wait for each other.
        resource: this.#sharesCores ? 'cores' : target.model,
        model: () => this.#modelOf(target.model, target.version),
        requestOf: (model, work) =>
          stepRequest(model, work, { listings, nextSequence, outputNames, nowMs: clock.nowMs() }),
        outputsOf: (model, request, outcome) => stepOutputs(model, request, outcome),
      });
    });
    const maxBytesEach = maxBytes / LEAST_AT_A_TIME;
    this.system = new PipelineSystem({ clock, graph, ports, limits: { maxRequests, maxBytes }, maxBytesEach, onEvent });
  }

  /** @throws Error of one line: a model that is not served, a function that cannot be loaded, or what does not fit */
  static async start(
    source: ModelSource,
    pipeline: PipelineSource,
    options: ServedPipelineOptions,
  ): Promise<ServedPipeline> {
    const signature = signatureOf(pipeline, options.listings);
    const functions = new Map<string, FunctionStep>();
    try {
      for (const [step, target] of pipeline.targets) {
        if (target.kind === 'model') continue;
        const { clock, onLog } = options;
        functions.set(step, await FunctionStep.start({ name: step, clock, target, onLog }));
      }
      return new ServedPipeline(source, pipeline, options, functions, signature);
    } catch (error) {
      await Promise.all([...functions.values()].map((each) => each.close()));
      throw error;
    }
  }

  get signature(): ModelSignature {
    return this.#checked.signature;
  }

  get state(): ModelState {
    return this.stateReason === '' ? 'READY' : 'UNAVAILABLE';
  }

  /** '' while it is ready. */
  get stateReason(): string {
    const { unavailable } = this.system;
    return unavailable === '' ? this.#misfit : unavailable;
  }

  /** For requests that state no budget. */
  get defaultSloMs(): number {
    const { defaultSloMs } = this.#pipeline;
    return defaultSloMs ?? Math.max(LEAST_DEFAULT_SLO_MS, DEFAULT_SLO_FACTOR * (this.system.plannedMs ?? 0));
  }

  get stepNames(): readonly string[] {
    if (this.#pipeline.variants !== undefined) return this.#pipeline.variants.variants.map(({ name }) => name);
    return this.#pipeline.description.steps.map(({ name }) => name);
  }

  get entry(): ModelEntry {
    const { name, version } = this.source;
    return {
      ...{ name, version, versions: [version], state: this.state, stateReason: this.stateReason },
      ...{ signature: this.signature, maxBatchSize: 0 },
      ...(this.mostAccuracy === null ? { platform: 'ensemble' } : { platform: 'onnxruntime_onnx' }),
      ...(this.mostAccuracy === null ? { statedConfig: { ensemble_scheduling: this.#pipeline.scheduling } } : {}),
    };
  }

  /** The best that a request can be given; null where there are no variants. */
  get mostAccuracy(): number | null {
    return this.#pipeline.variants?.variants.at(-1)?.accuracy ?? null;
  }

  /** There is nothing to refine. */
  beginRefining(): void {
    // Its models are refined for themselves.
  }

  async close(): Promise<void> {
    this.system.stop();
    await Promise.all(this.#functions.map((each) => each.close()));
  }

  get #sharesCores(): boolean {
    return this.#listings.served.some(({ sharesCores }) => sharesCores);
  }

  #models(): readonly unknown[] {
    return [...this.#pipeline.targets.values()].map((target) =>
      target.kind === 'model' ? (this.#listings.latest(target.model)?.served ?? null) : null,
    );
  }

  /** Why it does not fit its models any more, which may have been replaced; '' while it does. */
  get #misfit(): string {
    // Of variants each is looked at by itself.
    if (this.#pipeline.variants !== undefined) return '';
    const models = this.#models();
    if (models.some((model, index) => model !== this.#checked.models[index])) {
      try {
        this.#checked = { models, signature: signatureOf(this.#pipeline, this.#listings), misfit: '' };
      } catch (error) {
        this.#checked = { models, signature: this.#checked.signature, misfit: oneLine(error) };
      }
    }
    return this.#checked.misfit;
  }

  /** A text says why it cannot be had. */
  #modelOf(name: string, version?: string): ServedStepModel | string {
    const misfit = this.#misfit;
    if (misfit !== '') return misfit;
    try {
      const registered = this.#listings.find(name, version);
      let model = this.#stepModels.get(registered);
      if (model === undefined) this.#stepModels.set(registered, (model = new ServedStepModel(registered)));
      return registered.served.state === 'READY' ? model : `model '${name}': ${registered.served.stateReason}`;
    } catch (error) {
      return oneLine(error);
    }
  }
}

/** @throws Error of one line */
function signatureOf(pipeline: PipelineSource, listings: ModelListings): ModelSignature {
  if (pipeline.variants !== undefined) return variantsSignature(pipeline, pipeline.variants, listings);
  return pipelineSignature(
    pipeline,
    graphOf(pipeline.description),
    (name, version) => listings.find(name, version).served.contract.clients,
  );
}
