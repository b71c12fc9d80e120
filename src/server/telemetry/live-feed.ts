import type { Writable } from 'node:stream';
import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import {
  recordOf,
  type EventRecord,
  type ModelRecord,
  type RunHeader,
  type RunModel,
  type StepsCounted,
} from '../../scheduler/domain/event-record.js';
import { EventRate } from './event-rate.js';
import { messageOf, RecordChunk, RecordRing, RING_LIMITS, type RingLimits } from './record-ring.js';
import { standingAfter, standingOf, type Standing } from './standing.js';
import type { Attached } from './attached.js';

/*
 * The event stream of all models, as it goes to whoever looks: subscribers of `GET /events` (server-sent events), and
 * followers in this process (the event log, `serve --watch`).
 *
 * Events are copied when they happen, without their tensors, and handed on in chunks. While nobody looks that is all there
 * is to do: JSON is made for the first reader of a chunk, once for all of them. Where so much happens that the history would be of
 * seconds, not even that is done until somebody looks: keeping it took a fifth of the router's time at 14 000 small requests a second,
 * nearly all of it to collect the copies as garbage.
 *
 * Nobody slow can make it grow: a subscriber is a place in the ring, written to only while its socket takes more. One that
 * falls behind the ring's end is disconnected; its browser comes back by itself and is given the last minute. Places are few:
 * a peer that is gone without a word would keep its own for the quarter of an hour that the kernel waits for an answer, so
 * when all are taken, one that has had its for a while makes room for another from the same address.
 */

/** Ten times a second: what a person sees as live, and few enough writes. */
const FLUSH_MS = 100;
/** Bounds the work of one turn of the event loop: about 0.5 ms of JSON. */
const MAX_CHUNK_RECORDS = 500;
/** Subscribers hear at least this often what time it is. */
const HEARTBEAT_MS = 1000;
const MAX_SUBSCRIBERS = 8;
/** Longer than it takes to reload a page eight times; so nine that are alive take turns slowly, and lose nothing by it. */
const MIN_STAY_MS = 60_000;
/** Of the history's length: what it has to be at the rate of events just now, for anybody to want it. */
const LEAST_HISTORY_FRACTION = 0.1;
/** For what is still to be sent when the feed is closed. */
const FAREWELL_MS = 1000;
/** A browser tries again this long after its connection broke. */
const RECONNECT_MS = 1000;

export interface LiveFeedOptions {
  /** Its instants are those of the events. */
  readonly clock: Clock;
  /** Of the run, for people. */
  readonly title: string;
  /** Wall time now, ISO 8601. */
  readonly startedAt: string;
  /** What all models may have together; null where each has a limit of its own. */
  readonly budgetMillicores?: () => number | null;
  readonly limits?: RingLimits;
}

/** Someone in this process, told synchronously. */
export interface FeedFollower {
  /** Before anything else, and again when a model has come or gone. */
  onRun(header: RunHeader): void;
  onChunk(chunk: RecordChunk): void;
}

/** One of the feed's models. */
export interface Fed extends Attached {
  /** Of a pipeline: what was counted at its steps. */
  readonly tell: (counted: StepsCounted) => void;
}

interface Slot {
  readonly model: RunModel;
  /** The first chunk in which nothing is told of it any more; null while it is served. */
  readonly goneAt: number | null;
}

export class LiveFeed {
  readonly #clock: Clock;
  readonly #head: Omit<RunHeader, 'models' | 'budgetMillicores'>;
  readonly #budgetMillicores: () => number | null;
  readonly #ring: RecordRing;
  readonly #rate = new EventRate();
  /** Above this nothing is taken down while nobody looks. */
  readonly #mostUnseenPerSec: number;
  /** By index in the records. What is gone keeps its place until nothing of it is in the ring. */
  readonly #models: Slot[] = [];
  /** Of each model, now. Replaced, never changed: chunks keep it. */
  #standing: readonly Standing[] = [];
  #beforePending: readonly Standing[] = [];
  #pending: ModelRecord[] = [];
  readonly #followers: FeedFollower[] = [];
  /** In the order in which they came. */
  readonly #subscribers = new Set<Subscriber>();
  #isClosed = false;
  #onAllLeft: () => void = () => undefined;
  #flushTimer: Timer | null = null;
  #heartbeatTimer: Timer | null = null;
  #lastSentAtMs = -Infinity;

  constructor({ clock, title, startedAt, limits = RING_LIMITS, budgetMillicores = () => null }: LiveFeedOptions) {
    this.#clock = clock;
    this.#budgetMillicores = budgetMillicores;
    this.#head = {
      kind: 'run',
      schemaVersion: 1,
      source: 'live',
      title,
      startedAtMs: Math.round(clock.nowMs() * 1000) / 1000,
      startedAt,
    };
    this.#ring = new RecordRing(limits);
    this.#mostUnseenPerSec = (1000 * limits.historyRecords) / (LEAST_HISTORY_FRACTION * limits.historyMs);
  }

  get isFull(): boolean {
    return this.#subscribers.size >= MAX_SUBSCRIBERS;
  }

  /**
   * Begins to tell of a model; everyone is given a new header. One that takes the place of another of its name goes on where that one
   * was told of, once it is gone.
   */
  attachModel(model: RunModel): Fed {
    this.flush();
    const index = this.#slotFor(model.name);
    this.#models[index] = { model, goneAt: null };
    this.#standing = Object.assign([...this.#standing], { [index]: standingOf(model) });
    this.#announce();
    return {
      observe: (event) => this.#hear(index, event, recordOf),
      tell: (counted) => this.#hear(index, counted, (record) => record),
      detach: () => this.#detach(index),
    };
  }

  /** One of the same name that is gone; else one of which nobody is told any more; else a new one. */
  #slotFor(name: string): number {
    const same = this.#models.findIndex(({ model, goneAt }) => goneAt !== null && model.name === name);
    if (same >= 0) return same;
    const free = this.#models.findIndex(({ goneAt }) => goneAt !== null && goneAt < this.#ring.oldest);
    return free >= 0 ? free : this.#models.length;
  }

  /** Its cores are given back with it. */
  #detach(index: number): void {
    const { model } = this.#models[index]!;
    if (model.pipeline === undefined) this.#giveBack(index);
    this.flush();
    this.#models[index] = { model, goneAt: this.#ring.end };
    this.#announce();
  }

  #giveBack(index: number): void {
    const { allocations } = this.#standing[index]!;
    const instances: readonly (number | undefined)[] = allocations?.map((_, instance) => instance) ?? [undefined];
    for (const instance of instances) {
      const atMs = this.#clock.nowMs();
      const resize = { resizeId: 0, cpuMillicores: 0, isWritten: true, tookMs: 0 };
      this.#add({
        model: index,
        ...recordOf({ kind: 'resized', atMs, ...resize, ...(instance === undefined ? {} : { instance }) }),
      });
    }
  }

  #announce(): void {
    for (const follower of this.#followers) follower.onRun(this.#header(this.#standing));
    for (const subscriber of this.#subscribers) subscriber.restart();
  }

  /** From now on, without history. */
  follow(follower: FeedFollower): void {
    this.flush();
    follower.onRun(this.#header(this.#standing));
    this.#followers.push(follower);
  }

  /** Whether there is a place for one more from this address; where all are taken, the oldest of its own may have to go. */
  makeRoom(address: string): boolean {
    if (this.#isClosed) return false;
    if (!this.isFull) return true;
    const oldest = [...this.#subscribers].find((each) => each.address === address);
    if (oldest === undefined || this.#clock.nowMs() - oldest.sinceMs < MIN_STAY_MS) return false;
    this.#remove(oldest);
    oldest.stream.destroy();
    return true;
  }

  /**
   * Sends the header, the last minute, and everything from now on, until the stream is closed. Call `makeRoom` before.
   * @returns ends the subscription; calling it again does nothing
   */
  subscribe(stream: Writable, address: string): () => void {
    this.flush();
    const subscriber = new Subscriber(stream, address, this.#clock, {
      ring: this.#ring,
      header: (start) => this.#header(this.#ring.at(start)?.before ?? this.#standing),
    });
    this.#subscribers.add(subscriber);
    const leave = (): void => this.#remove(subscriber);
    stream.once('close', leave);
    stream.write(`retry: ${RECONNECT_MS}\n`);
    subscriber.restart();
    this.#armHeartbeat();
    return leave;
  }

  /** Hands on what has not been yet. */
  flush(): void {
    this.#flushTimer?.cancel();
    this.#flushTimer = null;
    if (this.#pending.length === 0) return;
    const chunk = new RecordChunk(this.#clock.nowMs(), this.#pending, this.#beforePending);
    this.#pending = [];
    this.#lastSentAtMs = chunk.atMs;
    this.#ring.append(chunk);
    // Followers first: for subscribers the chunk becomes bytes.
    for (const follower of this.#followers) follower.onChunk(chunk);
    chunk.settle();
    for (const subscriber of this.#subscribers) subscriber.proceed();
  }

  /** Hands on the rest and ends every subscription; resolves when all have what there was, or have had their time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.flush();
    this.#heartbeatTimer?.cancel();
    this.#heartbeatTimer = null;
    for (const subscriber of this.#subscribers) subscriber.finish();
    if (this.#subscribers.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.schedule(this.#clock.nowMs() + FAREWELL_MS, resolve);
      this.#onAllLeft = () => {
        timer.cancel();
        resolve();
      };
    });
    for (const subscriber of [...this.#subscribers]) this.#remove(subscriber);
  }

  #remove(subscriber: Subscriber): void {
    subscriber.leave();
    if (this.#subscribers.delete(subscriber) && this.#subscribers.size === 0) this.#onAllLeft();
  }

  #hear<E extends Event | StepsCounted>(model: number, event: E, recorded: (event: E) => EventRecord): void {
    this.#rate.count(event.atMs);
    const isUnseen = this.#followers.length === 0 && this.#subscribers.size === 0;
    if (isUnseen && this.#rate.perSec > this.#mostUnseenPerSec) this.#pass(model, event);
    else this.#add({ model, ...recorded(event) });
  }

  /** Without taking it down; what came before is no history any more. */
  #pass(model: number, event: Event | StepsCounted): void {
    this.flush();
    this.#ring.clear();
    this.#standing = standingAfter(model, event, this.#standing);
  }

  #add(record: ModelRecord): void {
    if (this.#pending.length === 0) this.#beforePending = this.#standing;
    this.#pending.push(record);
    this.#standing = standingAfter(record.model, record, this.#standing);
    if (this.#pending.length >= MAX_CHUNK_RECORDS) this.flush();
    else this.#flushTimer ??= this.#clock.schedule(this.#clock.nowMs() + FLUSH_MS, () => this.flush());
  }

  /** @param standing before the first record that follows, of the models there were then */
  #header(standing: readonly Standing[]): RunHeader {
    const models = this.#models.map(({ model, goneAt }, index) => ({
      ...model,
      ...standing[index],
      ...(goneAt === null ? {} : { isGone: true as const }),
    }));
    const budgetMillicores = this.#budgetMillicores();
    return budgetMillicores === null ? { ...this.#head, models } : { ...this.#head, budgetMillicores, models };
  }

  #armHeartbeat(): void {
    if (this.#heartbeatTimer !== null || this.#subscribers.size === 0) return;
    const dueAtMs = Math.max(this.#lastSentAtMs + HEARTBEAT_MS, this.#clock.nowMs() + FLUSH_MS);
    this.#heartbeatTimer = this.#clock.schedule(dueAtMs, () => {
      this.#heartbeatTimer = null;
      const nowMs = this.#clock.nowMs();
      if (this.#pending.length > 0) this.flush();
      else if (this.#lastSentAtMs + HEARTBEAT_MS <= nowMs) {
        const message = messageOf(nowMs, []);
        for (const subscriber of this.#subscribers) subscriber.beat(message);
        this.#lastSentAtMs = nowMs;
      }
      this.#armHeartbeat();
    });
  }
}

interface Source {
  readonly ring: RecordRing;
  /** As of the first chunk that follows. */
  header(start: number): RunHeader;
}

/** A place in the ring, and the socket that what comes next goes to. */
class Subscriber {
  readonly stream: Writable;
  readonly address: string;
  readonly sinceMs: number;
  readonly #clock: Clock;
  readonly #source: Source;
  #next = 0;
  #isHeaderDue = false;
  /** Until the socket takes more, or for the next turn of the event loop. */
  #isWaiting = false;
  #isFinishing = false;
  #turn: Timer | null = null;

  constructor(stream: Writable, address: string, clock: Clock, source: Source) {
    this.stream = stream;
    this.address = address;
    this.sinceMs = clock.nowMs();
    this.#clock = clock;
    this.#source = source;
  }

  /** From the header on. */
  restart(): void {
    this.#isHeaderDue = true;
    this.proceed();
  }

  /** Writes what is there, unless the socket is still busy with what came before. */
  proceed(): void {
    const { ring } = this.#source;
    if (!this.#isHeaderDue && this.#next < ring.oldest) {
      this.stream.destroy();
      return;
    }
    if (this.#isWaiting || this.stream.destroyed || this.stream.writableEnded) return;
    if (this.#isHeaderDue) this.#begin();
    else {
      const chunk = ring.at(this.#next);
      if (chunk === undefined) {
        if (this.#isFinishing) this.stream.end();
        return;
      }
      this.#next += 1;
      this.#write(chunk.message);
    }
  }

  /** Ends the stream once it has everything. */
  finish(): void {
    this.#isFinishing = true;
    this.proceed();
  }

  /** Only to one that has everything: the others hear the time with what they are still to get. */
  beat(message: Buffer): void {
    if (!this.#isWaiting && this.#next === this.#source.ring.end) this.#write(message);
  }

  leave(): void {
    this.#turn?.cancel();
    this.#turn = null;
  }

  #begin(): void {
    this.#isHeaderDue = false;
    this.#next = this.#source.ring.startOfHistory(this.#clock.nowMs());
    this.#write(`event: run\ndata: ${JSON.stringify(this.#source.header(this.#next))}\n\n`);
  }

  /** A chunk a turn: history is long, and requests are waiting too. */
  #write(text: string | Buffer): void {
    const takesMore = this.stream.write(text);
    const hasAll = this.#next === this.#source.ring.end && !this.#isHeaderDue;
    if (takesMore && hasAll && !this.#isFinishing) return;
    this.#isWaiting = true;
    if (takesMore) this.#proceedNextTurn();
    else this.stream.once('drain', () => this.#proceedNextTurn());
  }

  /** Not at once: a socket that takes everything drains before anything else has its turn. */
  #proceedNextTurn(): void {
    this.#turn = this.#clock.schedule(this.#clock.nowMs(), () => {
      this.#isWaiting = false;
      this.proceed();
    });
  }
}
