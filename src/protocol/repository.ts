import { OipFailure, type InferenceService, type ModelEntry } from './service.js';

/*
 * Triton's model repository extension, as both protocols have it: the index, loading and unloading.
 */

/** What a client may ask of the models that there are. Each throws `OipFailure`. */
export interface ModelRepository {
  /** Those that are not served included. */
  index(): Promise<readonly ModelEntry[]>;
  /** Resolves when the model is served as its files are now; one that is served already goes on until then. */
  load(name: string): Promise<void>;
  /** Resolves when it gets no more calls; those that it has it answers. */
  unload(name: string): Promise<void>;
}

/** Where models come from the command line alone. */
const LOAD_NOT_ALLOWED =
  'explicit model load / unload is not allowed: start the server with --model-control explicit, or restart it with the models to serve';

/** Of what is served; where nobody may load anything that is all there is. */
export function repositoryOf(service: InferenceService): ModelRepository {
  const refuse = (): Promise<never> => Promise.reject(new OipFailure('not_allowed', LOAD_NOT_ALLOWED));
  return service.repository ?? { index: () => Promise.resolve(service.models()), load: refuse, unload: refuse };
}

/** @throws OipFailure `not_allowed` where whoever reaches the server could have it serve something else */
export function assertMayChangeModels(door: { readonly isPrivate: boolean; readonly tokens: object | null }): void {
  if (door.isPrivate || door.tokens !== null) return;
  throw new OipFailure(
    'not_allowed',
    'models can be loaded and unloaded from this machine alone (--host 127.0.0.1), or with a token (--auth-token-file)',
  );
}

/** Nothing depends on a model here: there are no ensembles. */
export function checkUnloadParameters(parameters: ReadonlyMap<string, unknown>): void {
  for (const [name, value] of parameters) {
    if (name !== 'unload_dependents') throw unknownParameter(name, 'unload_dependents');
    if (typeof value !== 'boolean') throw new OipFailure('invalid', 'unload_dependents must be true or false');
  }
}

export function checkLoadParameters(parameters: ReadonlyMap<string, unknown>): void {
  for (const name of parameters.keys()) throw unknownParameter(name, 'none');
}

function unknownParameter(name: string, known: string): OipFailure {
  return new OipFailure('invalid', `there is no parameter '${name.slice(0, 64)}' of this call; known: ${known}`);
}
