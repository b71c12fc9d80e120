import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { RunStep } from '../../scheduler/domain/event-record.js';
import type { ModelOutlook } from '../../scheduler/domain/pod-report.js';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import { knownParts } from '../../scheduler/pipeline/fan-out.js';
import { graphOf, type PipelineGraph } from '../../scheduler/pipeline/graph.js';
import { ModelStep } from '../../scheduler/pipeline/model-step.js';
import type { VariantsSystem } from '../../scheduler/variants/variants-system.js';
import { variantsSignature, variantsSystem } from '../variants/variants-group.js';
import { PipelineSystem } from '../../scheduler/pipeline/pipeline-system.js';
import type { StepPort } from '../../scheduler/pipeline/step-port.js';
import { invalid, type InferCall, type ModelEntry, type ModelState } from '../../protocol/service.js';
import { withPrompt } from '../../protocol/text/prompts.js';
import type { ModelListings, Registered } from '../models/model-listings.js';
import type { ModelSource } from '../models/model-repository.js';
import type { Tracing } from '../tracing/tracing.js';
import { oneLine } from '../workers/load-failure.js';
import { pipelineSignature } from './contract.js';
import { FunctionStep } from './functions/function-step.js';
import { ObservedStep } from './observed-step.js';
import type { PartStarts } from './part-starts.js';
import { PipelineMeter } from './pipeline-meter.js';
import type { PipelineSource } from './pipeline-source.js';
import { runSteps } from './run-pipeline.js';
import { ServedStepModel, stepOutputs, stepRequest } from './step-request.js';
import { StepTrials } from './step-trials.js';

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
  readonly starts: PartStarts;
  /** Null: nobody asks for spans. */
  readonly tracing: Tracing | null;
}

/** Of one request, what all of them may hold at most divided by this many. */
const LEAST_AT_A_TIME = 4;
const LEAST_DEFAULT_SLO_MS = 1000;
const DEFAULT_SLO_FACTOR = 10;
/** Reckoned anew so often at most: every request that states none asks for it. */
const DEFAULT_SLO_FOR_MS = 1000;

export class ServedPipeline {
  readonly source: ModelSource;
  readonly system: PipelineSystem | VariantsSystem;
  /** What goes on at its steps. */
  readonly meter: PipelineMeter;
  /** Mean sizes of late, bytes. */
  replyBytes = 0;
  requestBytes = 0;
  readonly #pipeline: PipelineSource;
  readonly #listings: ModelListings;
  readonly #functions: readonly FunctionStep[];
  /** Null of variants. */
  readonly #graph: PipelineGraph | null = null;
  readonly #trials: StepTrials | null = null;
  readonly #clock: Clock;
  #default = { atMs: -Infinity, sloMs: 0 };
  readonly #stepModels = new WeakMap<Registered, ServedStepModel>();
  /** Checked against the models that are served: as long as these are the same. */
  #checked: { readonly models: readonly unknown[]; readonly signature: ModelSignature; readonly misfit: string };

  private constructor(
    source: ModelSource,
    pipeline: PipelineSource,
    options: ServedPipelineOptions,
    functions: ReadonlyMap<string, FunctionStep>,
    observed: ReadonlyMap<string, ObservedStep>,
    meter: PipelineMeter,
    signature: ModelSignature,
  ) {
    this.source = source;
    this.#pipeline = pipeline;
    this.#listings = options.listings;
    this.#clock = options.clock;
    this.#functions = [...functions.values()];
    this.meter = meter;
    this.#checked = { models: this.#models(), signature, misfit: '' };
    const { clock, listings, nextSequence, maxRequests, maxBytes, onEvent } = options;
    if (pipeline.variants !== undefined) {
      this.system = variantsSystem(pipeline, pipeline.variants, options, signature);
      return;
    }
    const graph = graphOf(pipeline.description);
    this.#graph = graph;
    const ports = graph.steps.map((step): StepPort => {
      const target = pipeline.targets.get(step.name)!;
      const observer = observed.get(step.name)!;
      if (target.kind === 'function') return observer.over(functions.get(step.name)!);
      const outputNames = step.outputs.map(({ name }) => name);
      const { adapter } = target;
      const port = new ModelStep({
        nowMs: () => clock.nowMs(),
        // Where each has a share of its own they do not wait for each other.
        resource: this.#sharesCores ? 'cores' : target.model,
        model: () => this.#modelOf(target.model, target.version),
        requestOf: (model, work) => {
          const ways = { listings, nextSequence, outputNames, nowMs: clock.nowMs(), adapter };
          const request = stepRequest(model, work, ways);
          if (typeof request !== 'string') observer.sentAs(work.id, request.sequence);
          return request;
        },
        outputsOf: (model, request, outcome) => stepOutputs(model, request, outcome, adapter),
      });
      return observer.over(port);
    });
    this.#trials = new StepTrials({
      ports: new Map(graph.steps.map(({ name }, index) => [name, ports[index]!])),
      ...options,
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
    const observed = new Map<string, ObservedStep>();
    // In the order in which they come: what is lost behind one step is lost before the next.
    const { steps } = pipeline.variants === undefined ? graphOf(pipeline.description) : pipeline.description;
    const names = steps.map(({ name }) => name);
    const meter = new PipelineMeter(names);
    const { clock, onLog, starts, tracing } = options;
    const nowMs = (): number => clock.nowMs();
    try {
      for (const [name, target] of pipeline.targets) {
        const { kind } = target;
        const runs = kind === 'model' ? target.model : name;
        const index = names.indexOf(name);
        const observer = new ObservedStep({ name, kind, target: runs, nowMs, meter, index, starts, tracing });
        observed.set(name, observer);
        if (kind === 'model') continue;
        const onRun = (id: number): ReturnType<ObservedStep['began']> => observer.began(id);
        functions.set(name, await FunctionStep.start({ name, clock, target, onLog, onRun }));
      }
      const served = new ServedPipeline(source, pipeline, options, functions, observed, meter, signature);
      await served.#triedOut();
      return served;
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
    if (defaultSloMs !== null) return defaultSloMs;
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#default.atMs < DEFAULT_SLO_FOR_MS) return this.#default.sloMs;
    const sloMs = Math.max(LEAST_DEFAULT_SLO_MS, DEFAULT_SLO_FACTOR * (this.system.plannedMs ?? 0));
    this.#default = { atMs: nowMs, sloMs };
    return sloMs;
  }

  get stepNames(): readonly string[] {
    if (this.#pipeline.variants !== undefined) return this.#pipeline.variants.variants.map(({ name }) => name);
    return this.#pipeline.description.steps.map(({ name }) => name);
  }

  /** Null of variants: their requests go to one of them. */
  get runSteps(): readonly RunStep[] | null {
    return this.#graph === null ? null : runSteps(this.#graph, this.#pipeline.targets);
  }

  get entry(): ModelEntry {
    const { name, version } = this.source;
    return {
      ...{ name, version, versions: [version], state: this.state, stateReason: this.stateReason },
      ...{ signature: this.signature, maxBatchSize: 0 },
      ...(this.mostAccuracy === null ? { platform: 'ensemble' } : { platform: 'onnxruntime_onnx' }),
      ...(this.mostAccuracy === null ? { statedConfig: { ensemble_scheduling: this.#pipeline.scheduling } } : {}),
      ...(this.#pipeline.text === undefined ? {} : { text: this.#pipeline.text }),
    };
  }

  /** The best that a request can be given; null where there are no variants. */
  get mostAccuracy(): number | null {
    return this.#pipeline.variants?.variants.at(-1)?.accuracy ?? null;
  }

  /** Of the models as they are now, which are looked up here for the first time. */
  async #triedOut(): Promise<void> {
    for (const target of this.#pipeline.targets.values())
      if (target.kind === 'model') this.#modelOf(target.model, target.version);
    await this.#trials?.settled();
  }

  /**
   * A call of texts with what goes before each of them.
   * @throws OipFailure `invalid` where it can be told from the inputs that they are too many, or none
   */
  asTaken(call: InferCall): InferCall {
    const { text } = this.#pipeline;
    if (this.#graph === null || text === undefined) return call;
    const { steps } = this.#graph;
    knownParts(this.#graph, call.inputs).forEach((count, index) => {
      const { maxParts } = steps[index]!;
      if (count === null || (count >= 1 && count <= maxParts)) return;
      throw invalid(
        count === 0
          ? 'there is no text in it'
          : `it has ${count} texts, and may have ${maxParts}: send fewer at a time`,
      );
    });
    return withPrompt(call, text);
  }

  /** How much room there is for one more request; null while there is nobody who could say. Of variants as the quickest of them stands. */
  outlook(): ModelOutlook | null {
    const { system } = this;
    if (system instanceof PipelineSystem) return system.outlook();
    let quickest: ModelOutlook | null = null;
    for (const target of this.#pipeline.targets.values()) {
      if (target.kind !== 'model') continue;
      const model = this.#served(target.model, target.version);
      const outlook = model?.system.outlook(model.likelyClass) ?? null;
      if (outlook !== null && outlook.leastMs < (quickest?.leastMs ?? Infinity)) quickest = outlook;
    }
    return quickest;
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
      if (model === undefined) {
        this.#stepModels.set(registered, (model = new ServedStepModel(registered)));
        this.#tryOut(name, model);
      }
      return registered.served.state === 'READY' ? model : `model '${name}': ${registered.served.stateReason}`;
    } catch (error) {
      return oneLine(error);
    }
  }

  /** Null where it is not served, or not now. */
  #served(name: string, version?: string): Registered['served'] | null {
    try {
      const { served } = this.#listings.find(name, version);
      return served.state === 'READY' ? served : null;
    } catch {
      return null;
    }
  }

  /** For the steps that would like to give it something else than what there is. */
  #tryOut(name: string, model: ServedStepModel): void {
    for (const target of this.#pipeline.targets.values())
      if (target.kind === 'model' && target.model === name && target.adapter !== undefined)
        this.#trials?.begin(name, model, target.adapter);
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
