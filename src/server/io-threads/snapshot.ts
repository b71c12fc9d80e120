import { OipFailure, unknownModel, unknownVersion } from '../../protocol/service.js';
import type { InferenceService, ModelEntry } from '../../protocol/service.js';
import type { Snapshot } from './wire.js';

/*
 * What the models are, as io threads answer it: taken whole on the planning thread whenever something has changed, and looked up here as
 * it is there.
 */

export function takeSnapshot(service: InferenceService, version: number): Snapshot {
  const models = service.models();
  const latest = new Map<string, number>();
  for (const { name } of models) {
    if (latest.has(name)) continue;
    const { version: latestVersion } = service.model(name);
    latest.set(
      name,
      models.findIndex((model) => model.name === name && model.version === latestVersion),
    );
  }
  return { version, isLive: service.isLive(), isReady: service.isReady(), models, latest };
}

/** What tells whether there is something new to tell, of what changes by itself: how models fare. */
export function standingOf(service: InferenceService): string {
  const models = service
    .models()
    .map(
      ({ name, version, state, stateReason, maxBatchSize, takesLargerRequests }) =>
        `${name}/${version} ${state} ${stateReason} ${maxBatchSize} ${takesLargerRequests}`,
    );
  return [service.isLive(), service.isReady(), ...models].join('\n');
}

/** A signature that is what it was stays the same object: by that, one model is told from another in its place. */
export function withKnownSignatures(snapshot: Snapshot, before: Snapshot | null): Snapshot {
  if (before === null) return snapshot;
  const models = snapshot.models.map((model): ModelEntry => {
    const known = before.models.find(({ name, version }) => name === model.name && version === model.version);
    const isSame = JSON.stringify(known?.signature) === JSON.stringify(model.signature);
    return known !== undefined && isSame ? { ...model, signature: known.signature } : model;
  });
  return { ...snapshot, models };
}

/** @throws OipFailure `not_found`, in the same words as the planning thread's */
export function modelIn({ models, latest }: Snapshot, name: string, version = ''): ModelEntry {
  const index = latest.get(name);
  if (index === undefined) throw unknownModel(name);
  if (version === '') return models[index]!;
  const named = models.filter((model) => model.name === name);
  const found = named.find((model) => model.version === version);
  if (found !== undefined) return found;
  const served = named.filter(({ signature }) => signature !== null).map((model) => model.version);
  throw unknownVersion(name, version, served);
}

/** What a thread is told of an error that another one threw. */
export function faultOf(error: unknown): { fault: OipFailure['error']; isUnforeseen: boolean } {
  if (error instanceof OipFailure) return { fault: error.error, isUnforeseen: false };
  return { fault: { kind: 'internal', message: 'internal error' }, isUnforeseen: true };
}
