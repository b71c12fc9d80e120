import type { Clock } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import { ModelStep } from '../../scheduler/pipeline/model-step.js';
import { VariantsSystem, type VariantPort } from '../../scheduler/variants/variants-system.js';
import { WorkPrices } from '../../scheduler/variants/work-prices.js';
import type { ModelListings, Registered } from '../models/model-listings.js';
import type { PipelineSource } from '../pipelines/pipeline-source.js';
import { ServedStepModel, stepOutputs, stepRequest } from '../pipelines/step-request.js';
import { oneLine } from '../workers/load-failure.js';
import { commonSignature } from './variants-contract.js';
import type { VariantsSource } from './variants-file.js';

/*
 * The variants of one model as they are served: models that the server serves anyway, looked up anew each time. One that is missing,
 * not ready or of another contract is left out until it is back; the others serve.
 */

interface VariantsGroupOptions {
  readonly clock: Clock;
  readonly listings: ModelListings;
  readonly nextSequence: () => number;
  readonly maxRequests: number;
  readonly onEvent: (event: Event) => void;
}

/** What was learnt of latencies meanwhile changes little within so long. */
const PRICED_FOR_MS = 1000;

export function variantsSystem(
  pipeline: PipelineSource,
  { variants, objective, leastAccuracy, accuracyWeight }: VariantsSource,
  options: VariantsGroupOptions,
  signature: ModelSignature,
): VariantsSystem {
  const { clock, listings, maxRequests, onEvent } = options;
  const targets = variants.map(({ name }) => targetOf(pipeline, name));
  const ports = variants.map(({ name, accuracy }, index) =>
    variantPort(name, accuracy, targets[index]!, options, signature),
  );
  return new VariantsSystem({
    ...{ clock, ports, objective, leastAccuracy, accuracyWeight, maxRequests, onEvent },
    cores: () => coresFor(listings, targets),
  });
}

/**
 * What all variants take and give, of those that are served now.
 * @throws Error of one line where none is, or they do not fit together
 */
export function variantsSignature(
  pipeline: PipelineSource,
  { variants }: VariantsSource,
  listings: ModelListings,
): ModelSignature {
  let reason = '';
  const served = variants.flatMap(({ name }) => {
    try {
      const { model, version } = targetOf(pipeline, name);
      return [{ name, signature: listings.find(model, version).served.contract.clients }];
    } catch (error) {
      reason = oneLine(error);
      return [];
    }
  });
  if (served.length === 0) throw new Error(`none of its variants is served: ${reason}`);
  return commonSignature(served);
}

interface ModelTarget {
  readonly model: string;
  readonly version?: string;
}

function targetOf({ targets }: PipelineSource, name: string): ModelTarget {
  const target = targets.get(name)!;
  if (target.kind !== 'model') throw new Error(`variant '${name}' is no model`);
  return target;
}

function variantPort(
  name: string,
  accuracy: number,
  { model, version }: ModelTarget,
  { clock, listings, nextSequence }: VariantsGroupOptions,
  signature: ModelSignature,
): VariantPort {
  const known = new WeakMap<Registered, { readonly model: ServedStepModel; readonly misfit: string }>();
  const outputNames = signature.outputs.map((spec) => spec.name);
  const find = (): ServedStepModel | string => {
    try {
      const registered = listings.find(model, version);
      let found = known.get(registered);
      if (found === undefined) {
        found = { model: new ServedStepModel(registered), misfit: misfitOf(name, registered, signature) };
        known.set(registered, found);
      }
      if (found.misfit !== '') return found.misfit;
      const { state, stateReason } = registered.served;
      return state === 'READY' ? found.model : `variant '${name}': ${stateReason}`;
    } catch (error) {
      return oneLine(error);
    }
  };
  const step = new ModelStep({
    ...{ nowMs: () => clock.nowMs(), resource: 'cores', model: find },
    requestOf: (each, work) =>
      stepRequest(each, work, { listings, nextSequence, outputNames, nowMs: clock.nowMs(), adapter: undefined }),
    outputsOf: (each, request, outcome) => stepOutputs(each, request, outcome, undefined),
  });
  let prices: WorkPrices | null = null;
  let pricedAtMs = -Infinity;
  return {
    ...{ name, accuracy },
    get unavailable() {
      return step.unavailable;
    },
    get runningBatches() {
      const found = find();
      return typeof found === 'string' ? 0 : found.system.status().runningBatches;
    },
    outlook: () => step.outlook(),
    submit: (work, onOutcome) => step.submit(work, onOutcome),
    cancel: (id) => step.cancel(id),
    isWaiting: (id) => step.isWaiting(id),
    prices: () => {
      const found = find();
      if (typeof found === 'string') return prices;
      if (prices !== null && clock.nowMs() - pricedAtMs < PRICED_FOR_MS) return prices;
      const { served } = found.registered;
      const maxBatchSize = served.isBatchable ? served.pool.maxBatchSize : 1;
      prices = new WorkPrices(accuracy, served.models.forClass(served.likelyClass), served.limits, maxBatchSize);
      pricedAtMs = clock.nowMs();
      return prices;
    },
  };
}

/** Why a model that has come since cannot stand in; '' where it can. */
function misfitOf(name: string, { served }: Registered, signature: ModelSignature): string {
  try {
    commonSignature([
      { name: 'the others', signature },
      { name, signature: served.contract.clients },
    ]);
    return '';
  } catch (error) {
    return oneLine(error);
  }
}

/** What models beside them do not run on; where nothing is shared, what each may have for itself. */
function coresFor({ served }: ModelListings, targets: readonly ModelTarget[]): number {
  const isOwn = ({ source }: (typeof served)[number]): boolean =>
    targets.some(({ model, version }) => model === source.name && (version ?? source.version) === source.version);
  const own = served.filter(isOwn);
  if (!own.some(({ sharesCores }) => sharesCores))
    return own.reduce((sum, { limits }) => sum + limits.maxMillicores, 0) / 1000;
  const all = Math.max(...own.map(({ limits }) => limits.maxMillicores));
  let others = 0;
  for (const each of served)
    if (!isOwn(each) && each.system.status().runningBatches > 0) others += each.system.status().grantedMillicores;
  return Math.max(LEAST_CORES, (all - others) / 1000);
}

const LEAST_CORES = 0.1;
