import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import type { ModelRepository, SentModel } from '../../protocol/repository.js';
import { OipFailure, type ModelEntry } from '../../protocol/service.js';
import { oneLine } from '../workers/load-failure.js';
import { FailedLoads } from './failed-loads.js';
import { unservedEntry, withoutFolder, type ModelListings } from './model-listings.js';
import type { SentConfig } from './model-config-file.js';
import { describeSkipped, modelIn, stampOf, type ModelSource, type Repository } from './model-repository.js';
import { reconcile } from './reconcile.js';
import { SentFolder } from './sent-folder.js';
import { Sequence } from './sequence.js';
import { modelsOf, ownModelsOf } from '../pipelines/pipeline-source.js';
import type { ServedPipeline } from '../pipelines/served-pipeline.js';
import type { ServedModel } from '../served/served-model.js';

/*
 * Which models are served, while the server runs: those of the command line for good, those that are in the repository now, or those that
 * somebody asks for. What is done for one model is done one after the other.
 */

/** Triton's modes of model control. */
export const CONTROL_MODES = ['none', 'poll', 'explicit'] as const;
export type ControlMode = (typeof CONTROL_MODES)[number];

export interface ControlChoice {
  readonly mode: ControlMode;
  /** Between two looks at the repository. */
  readonly pollMs: number;
  /** To begin with, where models are asked for; '*' is all of them. */
  readonly loadModels: readonly string[];
}

/** What a name stands for. */
export type Served = ServedModel | ServedPipeline;

export interface ModelControlOptions extends Pick<ControlChoice, 'mode' | 'pollMs'> {
  readonly listings: ModelListings;
  readonly logger: Logger;
  /** Fetches what is new, where models come from elsewhere. @throws Error, in one line */
  readonly refresh: () => Promise<void>;
  /** As it is now. @param sent counts in place of a model's own configuration */
  readonly read: (sent: SentConfig | null) => Promise<Repository>;
  /** @throws Error, in one line, when it cannot be served: the old one goes on */
  readonly add: (source: ModelSource, old: Served | null, interruption: AbortSignal) => Promise<Served>;
  readonly remove: (served: Served) => Promise<void>;
}

const NOT_ALLOWED: Readonly<Record<Exclude<ControlMode, 'explicit'>, string>> = {
  none: 'explicit model load / unload is not allowed: start the server with --model-control explicit, or restart it with the models to serve',
  poll: 'explicit model load / unload is not allowed if polling is enabled: change the files in the repository instead',
};

/** None of the files is a model. */
const NOTHING_SENT = 'send its file as file:<version>/model.onnx';

export class ModelControl implements ModelRepository {
  readonly #options: ModelControlOptions;
  /** Of the files that a model was loaded from. */
  readonly #stamps = new WeakMap<Served, string>();
  /** By name: one thing after the other. */
  readonly #turns = new Map<string, Sequence>();
  /** By name: gives up what is being loaded. */
  readonly #loading = new Map<string, AbortController>();
  readonly #closing = new AbortController();
  /** By name, as they were at the last look, where that is news: what is still being written is not loaded. */
  #seen: ReadonlyMap<string, string> = new Map();
  readonly #failed = new FailedLoads();
  /** What was told of what is left out. */
  #toldSkipped: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<Repository> | null = null;

  constructor(options: ModelControlOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal);
  }

  /** Serves a model, and remembers what it was loaded from. @throws what `add` throws */
  async begin<Each extends Served>(source: ModelSource, add: () => Promise<Each>): Promise<Each> {
    const stamp = await stampOf(source);
    const served = await add();
    this.#stamps.set(served, stamp);
    return served;
  }

  /** From now on the repository is looked at, where that is what was asked for. */
  watch(): void {
    if (this.#options.mode === 'poll') this.#lookLater();
  }

  // ---- for clients -------------------------------------------------------------------------------------------------

  async index(): Promise<readonly ModelEntry[]> {
    const { listings, mode } = this.#options;
    const known = mode === 'none' ? [] : (await this.#read()).sources;
    const entries = listings.entries();
    const isListed = ({ name, version }: ModelSource): boolean =>
      entries.some((entry) => entry.name === name && entry.version === version);
    const others = known.filter((source) => !isListed(source));
    return [...entries, ...others.map((source) => unservedEntry(source, 'UNAVAILABLE', source.fault ?? 'unloaded'))];
  }

  get isOpenToClients(): boolean {
    return this.#options.mode === 'explicit';
  }

  async load(name: string, sent: SentModel): Promise<void> {
    this.#assertExplicit();
    await this.#inTurn(name, async () => {
      await this.#options.refresh().catch((error: unknown) => {
        throw new OipFailure('invalid', `failed to load '${name}': ${oneLine(error)}`);
      });
      const folder = sent.files.size === 0 ? null : await this.#written(name, sent.files);
      try {
        const { sources, skipped } = await this.#readFor(name, sent, folder);
        const own = sources.filter((source) => source.name === name);
        if (own.length === 0) {
          const reason = skipped.find(({ path }) => path === folder?.path || path.endsWith(`/${name}`))?.reason;
          const why = reason ?? (folder === null ? 'there is no such model in the repository' : NOTHING_SENT);
          throw new OipFailure(folder === null ? 'not_found' : 'invalid', `failed to load '${name}': ${why}`);
        }
        // An ensemble that is asked for brings its models, as in Triton.
        const needed = own.flatMap(({ pipeline }) => (pipeline === undefined ? [] : modelsOf(pipeline)));
        for (const model of needed) await this.#bring(model, sources, own);
        await this.#settle(name, own).catch((error: unknown) => {
          throw new OipFailure('invalid', `failed to load '${name}': ${withoutFolder(oneLine(error), own.at(-1)!)}`);
        });
      } finally {
        await folder?.release();
      }
    });
  }

  async unload(name: string, isWithDependents = false): Promise<void> {
    this.#assertExplicit();
    this.#loading.get(name)?.abort(new Error('it is to be unloaded'));
    await this.#inTurn(name, () => {
      const { listings, remove } = this.#options;
      const entries = listings.entries().filter((entry) => entry.name === name);
      if (entries.length === 0) throw new OipFailure('not_found', `failed to unload '${name}': it is not loaded`);
      for (const entry of entries) listings.forgetUnserved(entry);
      const pipelines = this.#servedOf(name).flatMap(({ source }) => source.pipeline ?? []);
      for (const served of this.#servedOf(name)) void remove(served);
      const unneeded = pipelines.flatMap(isWithDependents ? modelsOf : ownModelsOf);
      return unneeded.length === 0 ? Promise.resolve() : this.#unloadUnused([...new Set(unneeded)]);
    });
  }

  /** Models of a pipeline that is gone, but those that another one needs. */
  async #unloadUnused(models: readonly string[]): Promise<void> {
    const { listings } = this.#options;
    const needed = new Set(
      listings.pipelines.flatMap(({ source }) => (source.pipeline === undefined ? [] : modelsOf(source.pipeline))),
    );
    const unused = models.filter((model) => !needed.has(model) && this.#servedOf(model).length > 0);
    await Promise.all(unused.map((model) => this.unload(model)));
  }

  /** Serves a model that a pipeline needs, unless it is. */
  async #bring(name: string, sources: readonly ModelSource[], pipelines: readonly ModelSource[]): Promise<void> {
    // One that is there for nothing else is loaded anew with it, where its files have changed.
    const isOwn = pipelines.some(({ pipeline }) => pipeline !== undefined && ownModelsOf(pipeline).includes(name));
    if (!isOwn && this.#servedOf(name).length > 0) return;
    const own = sources.filter((source) => source.name === name && source.pipeline === undefined);
    // Loading the pipeline says what is missing.
    if (own.length === 0) return;
    await this.#inTurn(name, () => this.#settle(name, own)).catch((error: unknown) => {
      throw new OipFailure('invalid', `failed to load '${name}': ${withoutFolder(oneLine(error), own.at(-1)!)}`);
    });
  }

  /** Nothing is loaded any more; what is being loaded is given up. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort(new Error('the server is shutting down'));
    await Promise.all([...this.#turns.values()].map(({ settled }) => settled));
  }

  // ---- the repository ----------------------------------------------------------------------------------------------

  #assertExplicit(): void {
    const { mode } = this.#options;
    if (mode !== 'explicit') throw new OipFailure('not_allowed', NOT_ALLOWED[mode]);
  }

  #lookLater(): void {
    const { pollMs, logger } = this.#options;
    this.#timer = setTimeout(() => {
      this.#look()
        .catch((error: unknown) => logger.warn(`the repository cannot be read: ${oneLine(error)}`))
        .finally(() => {
          if (!this.#closing.signal.aborted) this.#lookLater();
        });
    }, pollMs).unref();
  }

  /** Every model that has settled since the last look comes to be served as its files are. */
  async #look(): Promise<void> {
    await this.#options.refresh();
    const { sources } = await this.#read();
    const names = new Set([...sources, ...this.#options.listings.entries()].map(({ name }) => name));
    const seen = new Map<string, string>();
    const look = async (name: string): Promise<void> => {
      const own = sources.filter((source) => source.name === name);
      const stamp = JSON.stringify(await Promise.all(own.map(stampOf)));
      seen.set(name, stamp);
      if (this.#seen.get(name) !== stamp || !this.#failed.mayTry(name, stamp)) return;
      await this.#inTurn(name, () => this.#settle(name, own)).then(
        () => this.#failed.forget(name),
        (error: unknown) => {
          this.#failed.fail(name, stamp);
          this.#options.logger.error({ model: name }, `not loaded: ${oneLine(error)}`);
        },
      );
    };
    // Models before the pipelines that need them.
    const pipelines = new Set(sources.flatMap(({ name, pipeline }) => (pipeline === undefined ? [] : [name])));
    await Promise.all([...names].filter((name) => !pipelines.has(name)).map(look));
    await Promise.all([...pipelines].map(look));
    this.#failed.keepOnly(names);
    this.#seen = seen;
  }

  /** Whoever asks while it is read gets the same. */
  #read(): Promise<Repository> {
    this.#reading ??= this.#options
      .read(null)
      .then((repository) => {
        this.#tellSkipped(repository);
        return repository;
      })
      .finally(() => (this.#reading = null));
    return this.#reading;
  }

  /** What a model consists of, for one that asks for it in this way: what was sent counts before what the repository has. */
  async #readFor(name: string, { config }: SentModel, folder: SentFolder | null): Promise<Repository> {
    if (config === null) return this.#read();
    const sent = { name, json: config };
    if (folder === null) return this.#options.read(sent);
    const { sources, skipped } = await modelIn(folder.path, name, sent);
    return { sources: sources.map((source) => ({ ...source, folder })), skipped };
  }

  async #written(name: string, files: SentModel['files']): Promise<SentFolder> {
    if (!/^[^./\p{Cc}][^/\p{Cc}]{0,254}$/u.test(name)) {
      throw new OipFailure(
        'invalid',
        'a model that is sent has a name without slashes, that does not begin with a dot',
      );
    }
    return SentFolder.write(files).catch((error: unknown) => {
      throw new OipFailure('invalid', `failed to load '${name}': its files cannot be kept: ${oneLine(error)}`);
    });
  }

  #tellSkipped({ skipped }: Repository): void {
    const lines = new Set(skipped.map((each) => describeSkipped(each)));
    for (const line of lines) if (!this.#toldSkipped.has(line)) this.#options.logger.warn(line);
    this.#toldSkipped = lines;
  }

  // ---- one model ---------------------------------------------------------------------------------------------------

  #servedOf(name: string): readonly Served[] {
    const { served, pipelines } = this.#options.listings;
    return [...served, ...pipelines].filter(({ source }) => source.name === name);
  }

  /**
   * Serves these versions of a model and no others, as far as they can be loaded.
   * @throws Error, in one line of all that could not; what was served in its place, or is not wanted any more, goes on then
   */
  async #settle(name: string, sources: readonly ModelSource[]): Promise<void> {
    const { listings, logger, remove } = this.#options;
    const wanted = await Promise.all(
      sources.map(async ({ version }, index) => ({ version, stamp: await stampOf(sources[index]!) })),
    );
    const served = this.#servedOf(name);
    const stamped = served.map((each) => ({ version: each.source.version, stamp: this.#stamps.get(each) ?? '' }));
    const servedAs = (version: string | null): Served | null =>
      served.find(({ source }) => source.version === version) ?? null;
    const { load, end } = reconcile(stamped, wanted);
    const failures: string[] = [];
    for (const { version, inPlaceOf } of load) {
      const source = sources.find((each) => each.version === version)!;
      try {
        const loaded = await this.#interruptibly(name, (signal) =>
          this.begin(source, () => this.#options.add(source, servedAs(inPlaceOf), signal)),
        );
        loaded.beginRefining();
        const place = inPlaceOf === null ? '' : `, in the place of version ${inPlaceOf}`;
        logger.info({ model: name, version }, `loaded${place}`);
      } catch (error) {
        const reason = oneLine(error);
        listings.fail(source, reason);
        failures.push(sources.length === 1 ? reason : `version ${version}: ${reason}`);
      }
    }
    if (failures.length > 0) throw new Error(failures.join('; '));
    for (const version of end) void remove(servedAs(version)!);
    const isWanted = (version: string): boolean => wanted.some((each) => each.version === version);
    for (const entry of listings.entries())
      if (entry.name === name && !isWanted(entry.version)) listings.forgetUnserved(entry);
  }

  async #interruptibly<Result>(name: string, task: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const own = new AbortController();
    this.#loading.set(name, own);
    try {
      return await task(AbortSignal.any([own.signal, this.#closing.signal]));
    } finally {
      this.#loading.delete(name);
    }
  }

  /** What is asked for one model meanwhile waits; nothing is kept of a name that nobody asks for. */
  async #inTurn(name: string, task: () => Promise<void>): Promise<void> {
    const turns = this.#turns.get(name) ?? new Sequence();
    this.#turns.set(name, turns);
    try {
      await turns.take(async () => {
        this.#closing.signal.throwIfAborted();
        await task();
      });
    } finally {
      if (turns.isIdle) this.#turns.delete(name);
    }
  }
}
