import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { ReportReader, ReportSource, StopReading } from '../../protocol/reports.js';
import type { ModelRepository, SentModel } from '../../protocol/repository.js';
import { OipFailure } from '../../protocol/service.js';
import type {
  BodyPlace,
  CallTraces,
  Departure,
  InferCall,
  InferenceService,
  InferReply,
  ModelEntry,
  ModelStatistics,
} from '../../protocol/service.js';
import type { ReceiveBudget } from '../edge/receive-budget.js';
import { Regions } from './addresses.js';
import { Outbox } from './outbox.js';
import { RemoteCalls } from './remote-calls.js';
import { RemoteTraces } from './remote-traces.js';
import type { SharedWords } from './shared-words.js';
import { modelIn, withKnownSignatures } from './snapshot.js';
import type { Envelope, Question, Snapshot, ToIoThread, ToPlanner } from './wire.js';

/*
 * What the front ends of an io thread have in place of the server: the models as they are, known here; calls and questions, answered by the
 * planning thread.
 */

/** What there is to ask at all; it does not change. */
export interface ServiceTraits {
  readonly serverName: string;
  readonly serverVersion: string;
  /** Null: nobody may load or unload anything. */
  readonly repository: { readonly isOpenToClients: boolean } | null;
  readonly hasReports: boolean;
  readonly hasPlaces: boolean;
  readonly hasTraces: boolean;
}

export interface RemoteServiceOptions {
  readonly traits: ServiceTraits;
  readonly port: MessagePort;
  /** Of snapshots alone. */
  readonly statePort: MessagePort;
  readonly words: SharedWords;
  readonly snapshot: Snapshot;
  readonly receiveBudget: ReceiveBudget;
  readonly nowMs: () => number;
}

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class RemoteService implements InferenceService {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly repository: ModelRepository | undefined;
  readonly reports: ReportSource | undefined;
  readonly traces: CallTraces | undefined;
  /** Absent where no bodies have places. */
  readonly placeFor?: (modelName: string, byteCount: number) => BodyPlace | null;
  readonly outbox: Outbox<ToPlanner>;
  readonly #statePort: MessagePort;
  readonly #words: SharedWords;
  readonly #calls: RemoteCalls;
  #snapshot: Snapshot;
  readonly #asked = new Map<number, Asked>();
  readonly #readers = new Map<number, ReportReader>();
  #lastQuestionId = 0;

  constructor({ traits, port, statePort, words, snapshot, receiveBudget, nowMs }: RemoteServiceOptions) {
    const { repository, hasReports, hasPlaces, hasTraces } = traits;
    this.serverName = traits.serverName;
    this.serverVersion = traits.serverVersion;
    this.#statePort = statePort;
    this.#words = words;
    this.#snapshot = snapshot;
    this.outbox = new Outbox(port);
    this.traces = hasTraces ? new RemoteTraces(this.outbox, nowMs) : undefined;
    this.#calls = new RemoteCalls(this.outbox, receiveBudget, new Regions(), nowMs);
    if (repository !== null) this.repository = this.#repositoryWith(repository);
    if (hasReports) {
      this.reports = {
        now: () => this.#ask(['report']),
        demand: () => this.#ask(['demand']),
        follow: (reader) => this.#follow(reader),
      };
    }
    if (hasPlaces) this.placeFor = (modelName, byteCount) => this.#calls.placeFor(modelName, byteCount);
    port.on('message', (envelope: Envelope<ToIoThread>) => {
      for (const entry of envelope.entries) this.#hear(entry, envelope);
    });
    // Not for them to be known sooner, but not to pile up while nobody asks.
    statePort.on('message', (newer: Snapshot) => this.#learn(newer));
  }

  isLive(): boolean {
    return this.#now().isLive;
  }

  isReady(): boolean {
    return this.#now().isReady;
  }

  models(): readonly ModelEntry[] {
    return this.#now().models;
  }

  model(name: string, version?: string): ModelEntry {
    return modelIn(this.#now(), name, version);
  }

  statistics(name?: string, version?: string): Promise<readonly ModelStatistics[]> {
    return this.#ask(['statistics', name, version]);
  }

  infer(call: InferCall, departure: Departure): Promise<InferReply> {
    return this.#calls.infer(call, departure, this.#snapshot.version);
  }

  /** Whoever has been told by any thread that a model is there, finds it here: a newer snapshot has been sent before anybody was told. */
  #now(): Snapshot {
    if (this.#words.snapshotVersion !== this.#snapshot.version) {
      for (;;) {
        const received = receiveMessageOnPort(this.#statePort) as { readonly message: Snapshot } | undefined;
        if (received === undefined) break;
        this.#learn(received.message);
      }
    }
    return this.#snapshot;
  }

  #learn(newer: Snapshot): void {
    this.#snapshot = withKnownSignatures(newer, this.#snapshot);
  }

  #hear(entry: ToIoThread, envelope: Envelope<ToIoThread>): void {
    switch (entry[0]) {
      case 'ok':
      case 'refused':
      case 'error':
        this.#calls.answered(entry, envelope);
        break;
      case 'taken':
        this.#calls.taken(entry[1]);
        break;
      case 'grant':
        this.#calls.granted(entry);
        break;
      case 'answer':
        this.#settle(entry[1])?.resolve(entry[2]);
        break;
      case 'fault':
        this.#settle(entry[1])?.reject(new OipFailure(entry[2].kind, entry[2].message));
        break;
      case 'report': {
        const [, id, json] = entry;
        // Not before who asked has been told that they will come.
        setImmediate(() => this.#report(id, json));
        break;
      }
      case 'reports-end': {
        const [, id] = entry;
        setImmediate(() => {
          this.#readers.get(id)?.end();
          this.#readers.delete(id);
        });
      }
    }
  }

  #settle(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  /** As many may be open as calls are. */
  async #ask<Answer>(question: Question, id = ++this.#lastQuestionId): Promise<Answer> {
    const answer = await new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.outbox.push(['ask', id, question]);
    });
    return answer as Answer;
  }

  #repositoryWith({ isOpenToClients }: { readonly isOpenToClients: boolean }): ModelRepository {
    return {
      isOpenToClients,
      index: () => this.#ask(['index']),
      load: (name: string, { config, files }: SentModel) => this.#ask(['load', name, config, files]),
      unload: (name) => this.#ask(['unload', name]),
    };
  }

  async #follow(reader: ReportReader): Promise<StopReading | null> {
    const id = ++this.#lastQuestionId;
    this.#readers.set(id, reader);
    const isTaken = await this.#ask<boolean>(['follow', reader.picker, reader.intervalMs], id);
    if (!isTaken) {
      this.#readers.delete(id);
      return null;
    }
    return () => {
      if (this.#readers.delete(id)) this.outbox.push(['unfollow', id]);
    };
  }

  #report(id: number, json: string): void {
    const reader = this.#readers.get(id);
    reader?.take(json);
    this.#tellWhenReady(id);
  }

  #tellWhenReady(id: number): void {
    const reader = this.#readers.get(id);
    if (reader === undefined) return;
    if (reader.isReady()) this.outbox.push(['reported', id]);
    else setTimeout(() => this.#tellWhenReady(id), reader.intervalMs).unref();
  }
}
