import type { MessagePort } from 'node:worker_threads';
import { releaseAll, type Tensor } from '../../scheduler/domain/tensor.js';
import type { StopReading } from '../../protocol/reports.js';
import { OipFailure } from '../../protocol/service.js';
import type {
  BodyPlace,
  CallTrace,
  Departure,
  InferCall,
  InferenceService,
  InferReply,
} from '../../protocol/service.js';
import { checkInputs, checkOutputNames } from '../../protocol/validate.js';
import { addressOf, regionOf } from './addresses.js';
import { answerEntry } from './answers.js';
import { Outbox } from './outbox.js';
import { tracedCallOf } from './remote-traces.js';
import { faultOf } from './snapshot.js';
import type { CallEntry, Envelope, Question, ToIoThread, ToPlanner, TraceEntry, WireTensor } from './wire.js';

/*
 * One io thread, as the planning thread has it: its calls go to the service as those of a front end here would, its questions are answered,
 * and when it is gone nothing of it stays: its calls leave the queue like those of clients that have left, and what it was lent is free.
 */

/** Outputs up to here are copied to the thread: to lend costs it a view, and a word when they have been read. */
const MOST_COPIED_BYTES = 16 * 1024;
/** Of an arena, what all threads may have of it for bodies that may come. */
const MOST_GRANTED_SHARE = 1 / 4;
const MOST_GRANTS = 256;

export interface ThreadCallsOptions {
  readonly service: InferenceService;
  readonly port: MessagePort;
  readonly threadCount: number;
  /** Of the models as all threads have been told of them. */
  readonly snapshotVersion: () => number;
  readonly onUnforeseen: (error: unknown) => void;
  readonly onLog: (details: object, message: string) => void;
  readonly onLogLevel: (level: string) => void;
}

/** Its client is far away. */
class RemoteDeparture implements Departure {
  aborted = false;
  #listener: (() => void) | null = null;

  addEventListener(_kind: 'abort', listener: () => void): void {
    this.#listener = listener;
  }

  removeEventListener(): void {
    this.#listener = null;
  }

  leave(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.#listener?.();
  }
}

interface Granted {
  readonly modelName: string;
  readonly place: BodyPlace;
}

interface Follower {
  readonly stop: StopReading;
}

export class ThreadCalls {
  readonly #options: ThreadCallsOptions;
  readonly #outbox: Outbox<ToIoThread>;
  readonly #calls = new Map<number, RemoteDeparture>();
  /** Of those calls that are traced, until they have been answered. */
  readonly #traces = new Map<number, CallTrace>();
  /** Outputs that the thread reads, by call. */
  readonly #lent = new Map<number, readonly Tensor[]>();
  readonly #granted = new Map<number, Granted>();
  #grantedBytes = 0;
  #lastGrantId = 0;
  readonly #followers = new Map<number, Follower>();
  /** Those whose last report has been taken. */
  readonly #ready = new Set<number>();
  #isGone = false;

  constructor(options: ThreadCallsOptions) {
    this.#options = options;
    this.#outbox = new Outbox<ToIoThread>(options.port);
    options.port.on('message', (envelope: Envelope<ToPlanner>) => {
      for (const entry of envelope.entries) this.#hear(entry, envelope);
    });
  }

  get callCount(): number {
    return this.#calls.size;
  }

  /** The thread has ended: whatever of it is there ends too. */
  close(): void {
    this.#isGone = true;
    this.#options.port.close();
    this.#outbox.close();
    for (const departure of this.#calls.values()) departure.leave();
    for (const trace of this.#traces.values()) trace.answered(null);
    this.#traces.clear();
    for (const outputs of this.#lent.values()) releaseAll(outputs);
    this.#lent.clear();
    for (const { stop } of this.#followers.values()) stop();
    this.#followers.clear();
    for (const { place } of this.#granted.values()) place.release();
    this.#granted.clear();
  }

  #hear(entry: ToPlanner, envelope: Envelope<ToPlanner>): void {
    if (this.#isGone) return;
    switch (entry[0]) {
      case 'call':
        this.#infer(entry, envelope);
        break;
      case 'cancel':
        this.#calls.get(entry[1])?.leave();
        break;
      case 'answered': {
        const [, id, atMs, status, reason] = entry;
        this.#traces.get(id)?.answered(status, reason, atMs);
        this.#traces.delete(id);
        break;
      }
      case 'answered-here': {
        const [, traced, atMs, status, reason] = entry;
        this.#options.service.traces?.begin(tracedCallOf(traced)).answered(status, reason, atMs);
        break;
      }
      case 'read':
        releaseAll(this.#lent.get(entry[1]) ?? []);
        this.#lent.delete(entry[1]);
        break;
      case 'want':
        this.#grant(entry[1], entry[2]);
        break;
      case 'return':
        this.#takeBack(entry[1])?.release();
        break;
      case 'ask':
        void this.#answerQuestion(entry[1], entry[2]);
        break;
      case 'reported':
        this.#ready.add(entry[1]);
        break;
      case 'unfollow':
        this.#followers.get(entry[1])?.stop();
        this.#followers.delete(entry[1]);
        this.#ready.delete(entry[1]);
        break;
      case 'log-level':
        this.#options.onLogLevel(entry[1]);
        break;
      case 'log':
        this.#options.onLog(entry[1], entry[2]);
    }
  }

  #infer(entry: CallEntry, envelope: Envelope<ToPlanner>): void {
    const { service, snapshotVersion } = this.#options;
    const [, id, checkedVersion] = entry;
    const isHeavy = entry[17];
    const departure = new RemoteDeparture();
    this.#calls.set(id, departure);
    const places: BodyPlace[] = [];
    let replying: Promise<InferReply>;
    try {
      const call = this.#callOf(entry, envelope, places);
      if (checkedVersion !== snapshotVersion()) checkAnew(service, call);
      replying = service.infer(call, departure);
    } catch (error) {
      replying = Promise.resolve(this.#errorReply(error));
    }
    if (isHeavy) this.#outbox.push(['taken', id]);
    replying.then(
      (reply) => this.#answer(id, reply, places),
      (error: unknown) => this.#answer(id, this.#errorReply(error), places),
    );
  }

  /** @param places gets those that its inputs lie in: the call's, until it is known what becomes of it */
  #callOf(entry: CallEntry, envelope: Envelope<ToPlanner>, places: BodyPlace[]): InferCall {
    const [, , , modelName, modelVersion, id, wired, outputNames, parameters, statedBudgetsMs] = entry;
    const [, , , , , , , , , , firstByteAtMs, receivedAtMs, routerDelayMs, bodyBytes, peer, tokenName, pick] = entry;
    const trace = this.#traceOf(entry[1], entry[18]);
    const taken = new Map<number, BodyPlace>();
    const inputs = wired.map((tensor) => this.#inputOf(tensor, envelope, taken));
    places.push(...taken.values());
    return {
      modelName,
      inputs,
      outputNames,
      parameters,
      statedBudgetsMs,
      arrival: {
        firstByteAtMs,
        receivedAtMs,
        routerDelayMs,
        bodyBytes,
        peer,
        ...(tokenName === undefined ? {} : { tokenName }),
      },
      ...(modelVersion === undefined ? {} : { modelVersion }),
      ...(id === undefined ? {} : { id }),
      ...(pick === undefined ? {} : { pick }),
      ...(trace === null ? {} : { trace }),
    };
  }

  #traceOf(id: number, traced: TraceEntry | undefined): CallTrace | null {
    if (traced === undefined) return null;
    const trace = this.#options.service.traces?.begin(tracedCallOf(traced)) ?? null;
    if (trace !== null) this.#traces.set(id, trace);
    return trace;
  }

  #inputOf(tensor: WireTensor, envelope: Envelope<ToPlanner>, taken: Map<number, BodyPlace>): Tensor {
    const [name, datatype, shape, byteCount, where] = tensor;
    switch (where[0]) {
      case 'inline':
        return { name, datatype, shape, data: new Uint8Array(envelope.bytes!, where[1], byteCount) };
      case 'buffer':
        return { name, datatype, shape, data: new Uint8Array(envelope.buffers[where[1]]!, where[2], byteCount) };
      case 'grant': {
        const [, grantId, offset] = where;
        const place = taken.get(grantId) ?? this.#use(grantId);
        taken.set(grantId, place);
        return { name, datatype, shape, data: place.bytes.subarray(offset, offset + byteCount) };
      }
      case 'lent':
        throw new Error('an input lies where outputs do');
    }
  }

  /** Another one like it goes to the thread. */
  #use(grantId: number): BodyPlace {
    const modelName = this.#granted.get(grantId)?.modelName;
    const place = this.#takeBack(grantId);
    if (place === null || modelName === undefined) throw new Error(`place ${grantId} was used twice`);
    this.#grant(modelName, place.bytes.length);
    return place;
  }

  #grant(modelName: string, byteCount: number): void {
    const { service, threadCount } = this.#options;
    if (this.#granted.size >= MOST_GRANTS / threadCount) return;
    const place = service.placeFor?.(modelName, byteCount) ?? null;
    if (place === null) return;
    const mostBytes = (MOST_GRANTED_SHARE * place.bytes.buffer.byteLength) / threadCount;
    if (this.#granted.size > 0 && this.#grantedBytes + byteCount > mostBytes) {
      place.release();
      return;
    }
    const id = ++this.#lastGrantId;
    this.#granted.set(id, { modelName, place });
    this.#grantedBytes += byteCount;
    const { bytes } = place;
    this.#outbox.push(['grant', id, modelName, addressOf(bytes), byteCount, regionOf(bytes)]);
  }

  #takeBack(grantId: number): BodyPlace | null {
    const granted = this.#granted.get(grantId);
    if (granted === undefined) return null;
    this.#granted.delete(grantId);
    this.#grantedBytes -= granted.place.bytes.length;
    return granted.place;
  }

  #answer(id: number, reply: InferReply, places: readonly BodyPlace[]): void {
    this.#calls.delete(id);
    for (const place of places) place.release();
    const outputs = reply.kind === 'ok' ? reply.outputs : [];
    if (this.#isGone) {
      releaseAll(outputs);
      return;
    }
    const lent = outputs.filter(({ data }) => data.byteLength > MOST_COPIED_BYTES);
    if (lent.length > 0) this.#lent.set(id, lent);
    const wired = outputs.map((tensor): WireTensor => {
      const { name, datatype, shape, data, lease } = tensor;
      if (data.byteLength <= MOST_COPIED_BYTES) {
        const copied = this.#outbox.copied(tensor);
        lease?.release();
        return copied;
      }
      const region = lease === undefined ? null : regionOf(data);
      return [name, datatype, shape, data.byteLength, ['lent', addressOf(data), region]];
    });
    this.#outbox.push(answerEntry(id, reply, wired));
  }

  #errorReply(error: unknown): InferReply {
    const { fault, isUnforeseen } = faultOf(error);
    if (isUnforeseen) this.#options.onUnforeseen(error);
    return { kind: 'error', error: fault };
  }

  async #answerQuestion(id: number, question: Question): Promise<void> {
    try {
      this.#outbox.push(['answer', id, await this.#answerTo(id, question)]);
    } catch (error) {
      const { fault, isUnforeseen } = faultOf(error);
      if (isUnforeseen) this.#options.onUnforeseen(error);
      this.#outbox.push(['fault', id, fault]);
    }
  }

  async #answerTo(id: number, question: Question): Promise<unknown> {
    const { service } = this.#options;
    const { repository, reports } = service;
    switch (question[0]) {
      case 'statistics':
        return service.statistics(question[1], question[2]);
      case 'report':
        return reports?.now();
      case 'demand':
        return reports?.demand();
      case 'follow':
        return this.#follow(id, question[1], question[2]);
      case 'index':
        return repository?.index();
      case 'load':
        return repository?.load(question[1], { config: question[2], files: question[3] });
      case 'unload':
        return repository?.unload(question[1]);
    }
  }

  /** @returns whether it may */
  async #follow(id: number, picker: string | null, intervalMs: number): Promise<boolean> {
    this.#ready.add(id);
    const stop = await this.#options.service.reports?.follow({
      picker,
      intervalMs,
      take: (json) => {
        this.#ready.delete(id);
        this.#outbox.push(['report', id, json]);
      },
      isReady: () => this.#ready.has(id),
      end: () => {
        this.#followers.delete(id);
        this.#ready.delete(id);
        this.#outbox.push(['reports-end', id]);
      },
    });
    if (stop === undefined || stop === null) return false;
    if (this.#isGone) stop();
    else this.#followers.set(id, { stop });
    return true;
  }
}

/** Against the model that gets it: another one may have taken the place of the one that it was checked against. */
function checkAnew(service: InferenceService, { modelName, modelVersion, inputs, outputNames }: InferCall): void {
  const model = service.model(modelName, modelVersion);
  try {
    checkInputs(model, inputs);
    checkOutputNames(model, outputNames);
  } catch (error) {
    if (!(error instanceof OipFailure)) throw error;
    const { kind, message } = error.error;
    throw new OipFailure(kind, `the model has been replaced since the request came: ${message}`);
  }
}
