import { dirname, join, sep } from 'node:path';
import type { ShapeClass } from '../../scheduler/domain/request.js';
import { RecentlyUsed } from '../../scheduler/perf-model/recently-used.js';
import { OipFailure, unknownModel, unknownVersion, type ModelEntry } from '../../protocol/service.js';
import type { ModelSource } from './model-repository.js';
import type { ServedPipeline } from '../pipelines/served-pipeline.js';
import type { ServedModel } from '../served/served-model.js';
import { compareVersions } from './versions.js';

/*
 * What clients know of the models: each by name and version, and how it stands. A call that names no version gets the highest one that
 * is served. One that takes another's place does so here, in one step: whoever is looked up before it is the old one, after it the new.
 */

/** Of a model, known by sight. */
const MOST_SHAPE_CLASSES = 64;

/** A model that is served, and what was learnt of its requests. */
export interface Registered {
  readonly served: ServedModel;
  replyBytes: number;
  requestBytes: number;
  /** By key: of requests that are alike one object, however many wait. */
  readonly shapeClasses: RecentlyUsed<string, ShapeClass>;
}

type Listing =
  | { readonly kind: 'served'; readonly registered: Registered }
  | { readonly kind: 'pipeline'; readonly pipeline: ServedPipeline }
  | { readonly kind: 'loading'; readonly source: ModelSource }
  | { readonly kind: 'failed'; readonly source: ModelSource; readonly reason: string }
  /** It takes no calls any more, and answers those that it has. */
  | { readonly kind: 'ending'; readonly served: ServedModel };

interface Named {
  readonly byVersion: Map<string, Listing>;
  /** The highest that is served; null while none is. */
  latest: Registered | null;
}

export class ModelListings {
  readonly #names = new Map<string, Named>();
  /** Called after each change. */
  onChange: () => void = () => undefined;
  #pipelineCount = 0;

  /** It is being loaded; beside one of its version that is served it is not listed. */
  expect(source: ModelSource): void {
    if (!this.#takesCalls(source)) this.#set(source, { kind: 'loading', source });
  }

  /** It could not be loaded: it is listed, and answers why. One of its version that is served goes on. */
  fail(source: ModelSource, reason: string): void {
    if (this.#takesCalls(source)) return;
    this.#set(source, { kind: 'failed', source, reason: withoutFolder(reason, source) });
  }

  /** From now on calls are its own, those for another one of its version included. */
  add(served: ServedModel): void {
    const shapeClasses = new RecentlyUsed<string, ShapeClass>(MOST_SHAPE_CLASSES);
    this.#set(served.source, { kind: 'served', registered: { served, replyBytes: 0, requestBytes: 0, shapeClasses } });
  }

  /** The same for a pipeline. */
  addPipeline(pipeline: ServedPipeline): void {
    this.#set(pipeline.source, { kind: 'pipeline', pipeline });
    this.#countPipelines();
  }

  /** It gets no more calls, and is not listed, unless another one has taken its place. */
  removePipeline(pipeline: ServedPipeline): void {
    const listing = this.#listing(pipeline.source);
    if (listing?.kind === 'pipeline' && listing.pipeline === pipeline) this.#delete(pipeline.source);
    this.#countPipelines();
  }

  /** Null: there is no such pipeline. Where there are none at all, it costs nothing to ask. */
  pipeline(name: string, version = ''): ServedPipeline | null {
    if (this.#pipelineCount === 0) return null;
    const byVersion = this.#names.get(name)?.byVersion;
    const listing = version === '' ? [...(byVersion?.values() ?? [])].at(-1) : byVersion?.get(version);
    return listing?.kind === 'pipeline' ? listing.pipeline : null;
  }

  get pipelines(): readonly ServedPipeline[] {
    return this.#all().flatMap((listing) => (listing.kind === 'pipeline' ? [listing.pipeline] : []));
  }

  /** It gets no more calls. */
  end(served: ServedModel): void {
    const listing = this.#listing(served.source);
    if (listing?.kind === 'served' && listing.registered.served === served) {
      this.#set(served.source, { kind: 'ending', served });
    }
  }

  /** It is gone, unless another one of its version is there by now. */
  forgetEnded(served: ServedModel): void {
    const listing = this.#listing(served.source);
    if (listing?.kind === 'ending' && listing.served === served) this.#delete(served.source);
  }

  /** Nothing is to be told of it any more: it is not being loaded, and that it could not be is no news. */
  forgetUnserved(source: Pick<ModelSource, 'name' | 'version'>): void {
    const listing = this.#listing(source);
    if (listing?.kind === 'loading' || listing?.kind === 'failed') this.#delete(source);
  }

  get served(): readonly ServedModel[] {
    return this.registered.map(({ served }) => served);
  }

  /** Those that take calls, and what was learnt of their requests. */
  get registered(): readonly Registered[] {
    return this.#all().flatMap((listing) => (listing.kind === 'served' ? [listing.registered] : []));
  }

  /** What is listed of all versions of all models. */
  entries(): readonly ModelEntry[] {
    return this.#all().map((listing) => this.#entryOf(listing));
  }

  /** @throws OipFailure `not_found` */
  entry(name: string, version = ''): ModelEntry {
    const { byVersion, latest } = this.#named(name);
    if (version !== '') return this.#entryOf(byVersion.get(version) ?? this.#noVersion(name, version));
    if (latest !== null) return this.#entryOfServed(latest.served);
    return this.#entryOf([...byVersion.values()].at(-1)!);
  }

  /** @throws OipFailure `not_found`, or `unavailable` with why it is */
  find(name: string, version = ''): Registered {
    const { byVersion, latest } = this.#named(name);
    if (version === '' && latest !== null) return latest;
    const listing = version === '' ? [...byVersion.values()].at(-1)! : byVersion.get(version);
    switch (listing?.kind) {
      case 'served':
        return listing.registered;
      case 'loading':
        throw new OipFailure('unavailable', `model '${name}' is still being loaded`);
      case 'failed':
        throw new OipFailure('unavailable', `model '${name}' could not be loaded: ${listing.reason}`);
      case 'ending':
        throw new OipFailure('unavailable', `model '${name}' is being unloaded`);
      case 'pipeline':
        throw new OipFailure('unavailable', `'${name}' is a pipeline, and a model is needed here`);
      case undefined:
        return this.#noVersion(name, version);
    }
  }

  /** Of those that a call for this model without a version gets. */
  latest(name: string): Registered | null {
    return this.#names.get(name)?.latest ?? null;
  }

  #takesCalls(source: Pick<ModelSource, 'name' | 'version'>): boolean {
    const kind = this.#listing(source)?.kind;
    return kind === 'served' || kind === 'pipeline';
  }

  #countPipelines(): void {
    this.#pipelineCount = this.pipelines.length;
  }

  #noVersion(name: string, version: string): never {
    throw unknownVersion(name, version, this.#servedVersions(name));
  }

  #named(name: string): Named {
    const named = this.#names.get(name);
    if (named !== undefined) return named;
    throw unknownModel(name);
  }

  #all(): readonly Listing[] {
    return [...this.#names.values()].flatMap(({ byVersion }) => [...byVersion.values()]);
  }

  #listing({ name, version }: Pick<ModelSource, 'name' | 'version'>): Listing | undefined {
    return this.#names.get(name)?.byVersion.get(version);
  }

  #set({ name, version }: ModelSource, listing: Listing): void {
    const before = [...(this.#names.get(name)?.byVersion ?? [])].filter(([other]) => other !== version);
    this.#replace(name, [...before, [version, listing]]);
  }

  #delete({ name, version }: Pick<ModelSource, 'name' | 'version'>): void {
    this.#replace(
      name,
      [...this.#names.get(name)!.byVersion].filter(([other]) => other !== version),
    );
  }

  #replace(name: string, listings: readonly (readonly [version: string, Listing])[]): void {
    if (listings.length === 0) {
      this.#names.delete(name);
      this.onChange();
      return;
    }
    const byVersion = new Map([...listings].sort(([a], [b]) => compareVersions(a, b)));
    const served = [...byVersion.values()].filter((listing) => listing.kind === 'served');
    this.#names.set(name, { byVersion, latest: served.at(-1)?.registered ?? null });
    this.onChange();
  }

  #servedVersions(name: string): readonly string[] {
    const { byVersion } = this.#named(name);
    return [...byVersion].filter(([, { kind }]) => kind === 'served').map(([version]) => version);
  }

  #entryOf(listing: Listing): ModelEntry {
    switch (listing.kind) {
      case 'served':
        return this.#entryOfServed(listing.registered.served);
      case 'pipeline':
        return listing.pipeline.entry;
      case 'loading':
        return unservedEntry(listing.source, 'LOADING', 'the model is being loaded and measured');
      case 'failed':
        return unservedEntry(listing.source, 'UNAVAILABLE', listing.reason);
      case 'ending':
        return unservedEntry(listing.served.source, 'UNLOADING', 'the model is answering what it has');
    }
  }

  #entryOfServed(served: ServedModel): ModelEntry {
    const { name, version, settings } = served.source;
    return {
      name,
      version,
      versions: this.#servedVersions(name),
      state: served.state,
      stateReason: served.stateReason,
      signature: served.contract.clients,
      maxBatchSize: served.isBatchable ? served.pool.maxBatchSize : 0,
      takesLargerRequests: served.takesLargerRequests,
      platform: 'onnxruntime_onnx',
      labels: settings.labels,
      ...(settings.config === null ? {} : { statedConfig: settings.config.taken }),
    };
  }
}

/** A model that is known and not served. */
export function unservedEntry(
  { name, version }: Pick<ModelSource, 'name' | 'version'>,
  state: ModelEntry['state'],
  stateReason: string,
): ModelEntry {
  return {
    ...{ name, version, versions: [version], state, stateReason },
    ...{ signature: null, maxBatchSize: 0, platform: 'onnxruntime_onnx' },
  };
}

/** Clients have no business with where on the machine a model is. */
export function withoutFolder(reason: string, { modelPath }: Pick<ModelSource, 'modelPath'>): string {
  // Its own, and the one above, where a repository has its settings.
  const folders = [dirname(modelPath), dirname(dirname(modelPath))].filter((folder) => folder.length > 1);
  return folders.reduce((text, folder) => text.replaceAll(join(folder, sep), ''), reason);
}
