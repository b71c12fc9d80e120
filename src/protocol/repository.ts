import { OipFailure, type InferenceService, type ModelEntry } from './service.js';

/*
 * Triton's model repository extension, as both protocols have it: the index, loading and unloading.
 */

/** What a client sends with a call to load a model. */
export interface SentModel {
  /** In place of its `config.pbtxt`: JSON; null where that counts. */
  readonly config: string | null;
  /** In place of its folder, by their paths in it; none where that counts. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What a client may ask of the models that there are. Each throws `OipFailure`. */
export interface ModelRepository {
  /** Whether clients may load and unload at all. */
  readonly isOpenToClients: boolean;
  /** Those that are not served included. */
  index(): Promise<readonly ModelEntry[]>;
  /** Resolves when the model is served as its files are now; one that is served already goes on until then. */
  load(name: string, sent: SentModel): Promise<void>;
  /** Resolves when it gets no more calls; those that it has it answers. With a pipeline go the models that no other one needs, where asked. */
  unload(name: string, isWithDependents?: boolean): Promise<void>;
}

/** Where models come from the command line alone. */
const LOAD_NOT_ALLOWED =
  'explicit model load / unload is not allowed: start the server with --model-control explicit, or restart it with the models to serve';

/** Of what is served; where nobody may load anything that is all there is. */
export function repositoryOf(service: InferenceService): ModelRepository {
  const refuse = (): Promise<never> => Promise.reject(new OipFailure('not_allowed', LOAD_NOT_ALLOWED));
  const index = (): Promise<readonly ModelEntry[]> => Promise.resolve(service.models());
  return service.repository ?? { isOpenToClients: false, index, load: refuse, unload: refuse };
}

/** What says who may call. */
interface Guarded {
  readonly isPrivate: boolean;
  readonly tokens: object | null;
}

export function mayChangeModels(door: Guarded): boolean {
  return door.isPrivate || door.tokens !== null;
}

/** @throws OipFailure `not_allowed` where whoever reaches the server could have it serve something else */
export function assertMayChangeModels(door: Guarded): void {
  if (mayChangeModels(door)) return;
  throw new OipFailure(
    'not_allowed',
    'models can be loaded and unloaded from this machine alone (--host 127.0.0.1), or with a token (--auth-token-file)',
  );
}

/** @returns whether the models of a pipeline go with it. @throws OipFailure `invalid` */
export function unloadsDependents(parameters: ReadonlyMap<string, unknown>): boolean {
  for (const [name, value] of parameters) {
    if (name !== 'unload_dependents') throw unknownParameter(name, 'unload_dependents');
    if (typeof value !== 'boolean') throw new OipFailure('invalid', 'unload_dependents must be true or false');
  }
  return parameters.get('unload_dependents') === true;
}

/** Of a model: its versions, and what they need. */
const MOST_FILES = 64;
const MOST_PATH_CHARACTERS = 255;
const FILE_PREFIX = 'file:';

/**
 * What a client sends with a call to load a model.
 * @param parameters files as bytes
 * @throws OipFailure `invalid`
 */
export function sentModelIn(parameters: ReadonlyMap<string, unknown>): SentModel {
  let config: string | null = null;
  const files = new Map<string, Uint8Array>();
  for (const [name, value] of parameters) {
    if (name === 'config') {
      if (typeof value !== 'string') throw new OipFailure('invalid', 'config must be a string: JSON of a ModelConfig');
      config = value;
    } else if (name.startsWith(FILE_PREFIX)) {
      if (!(value instanceof Uint8Array))
        throw new OipFailure('invalid', `${shortened(name)} must be bytes (REST: base64)`);
      files.set(checkedPath(name), value);
    } else throw unknownParameter(name, `config, ${FILE_PREFIX}<version>/model.onnx`);
  }
  if (files.size > MOST_FILES)
    throw new OipFailure('invalid', `a model has at most ${MOST_FILES} files, not ${files.size}`);
  if (files.size > 0 && config === null) {
    throw new OipFailure(
      'invalid',
      "files need a config beside them, as in Triton; '{}' says that the model tells all",
    );
  }
  return { config, files };
}

/** @returns the path in the model's folder. @throws OipFailure where it leads elsewhere, or is no file of a model */
function checkedPath(name: string): string {
  const path = name.slice(FILE_PREFIX.length);
  const isPath = path.length <= MOST_PATH_CHARACTERS && /^[\w-][\w .-]*(?:\/[\w-][\w .-]*){0,3}$/.test(path);
  if (!isPath) {
    throw new OipFailure(
      'invalid',
      `${shortened(name)}: expected ${FILE_PREFIX}<version>/model.onnx, or another path in a model's folder`,
    );
  }
  // It names files anywhere on this machine.
  if (/(?:^|\/)model\.yaml$/.test(path)) {
    throw new OipFailure(
      'invalid',
      `${shortened(name)}: model.yaml is its operator's, say what it is to say in config`,
    );
  }
  return path;
}

function unknownParameter(name: string, known: string): OipFailure {
  return new OipFailure('invalid', `there is no parameter '${shortened(name)}' of this call; known: ${known}`);
}

function shortened(name: string): string {
  return name.slice(0, 64);
}
