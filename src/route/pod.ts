/*
 * What is believed of one pod: what it reported last, and which of the requests that were sent there it has not told to have come. Pure: it
 * is told the time, and what happened.
 */
import type { PodReport } from '../scheduler/domain/pod-report.js';
import { ModelRoom } from './model-room.js';
import type { RoutedRequest } from './request.js';

/** Three heartbeats, and the way here: reports that stop for longer say nothing any more. */
const FRESH_FOR_MS = 1600;
/** Sent and not told to have come. With more, the oldest are taken to have come. */
const MOST_PENDING = 4096;
/** What states no budget is taken to have come after so long. */
const PENDING_FOR_MS = 10_000;

/** `lost`: nothing listens there. `silent`: something does, or may, and makes no reports. */
export type PodContact = 'reporting' | 'silent' | 'lost';

interface Pending {
  readonly sentAtMs: number;
  readonly dueAtMs: number;
  readonly request: RoutedRequest;
}

export class Pod {
  readonly id: string;
  #contact: PodContact = 'silent';
  #report: PodReport | null = null;
  #reportAtMs = -Infinity;
  /** Of the latest version of each name, and of each version by `name/version`. */
  readonly #rooms = new Map<string, ModelRoom>();
  #latest: readonly ModelRoom[] = [];
  /** By number, in the order in which they were sent. */
  readonly #pending = new Map<number, Pending>();
  /** When something is sent there next to see how it is. */
  testAtMs = -Infinity;

  constructor(id: string) {
    this.id = id;
  }

  /** As of now. */
  contact(nowMs: number): PodContact {
    return this.#contact === 'reporting' && nowMs - this.#reportAtMs > FRESH_FOR_MS ? 'silent' : this.#contact;
  }

  /** The latest version of each. */
  get models(): readonly ModelRoom[] {
    return this.#latest;
  }

  get isDraining(): boolean {
    return this.#report?.isDraining === true;
  }

  /** 0 where it is not known. */
  get grpcPort(): number {
    return this.#report?.grpcPort ?? 0;
  }

  /** ms; Infinity before the first. */
  reportAgeMs(nowMs: number): number {
    return nowMs - this.#reportAtMs;
  }

  /** Sent, and not told to have come. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  hear(nowMs: number, report: PodReport): void {
    this.#contact = 'reporting';
    this.#report = report;
    this.#reportAtMs = nowMs;
    for (const number of report.arrived) this.#pending.delete(number);
    if (report.isArrivedCut) this.#pending.clear();
    this.forget(nowMs);
    this.#rooms.clear();
    const latest: ModelRoom[] = [];
    for (const each of report.models) {
      const room = new ModelRoom(each, nowMs);
      this.#rooms.set(`${each.name}/${each.version}`, room);
      if (!each.isLatest) continue;
      this.#rooms.set(each.name, room);
      latest.push(room);
    }
    this.#latest = latest;
    for (const { dueAtMs, request } of this.#pending.values()) this.#place(nowMs, dueAtMs, request);
  }

  lose(contact: Exclude<PodContact, 'reporting'>): void {
    this.#contact = contact;
    if (contact === 'lost') this.#pending.clear();
  }

  /** What a request may be for: one model, or all where it does not say which. None where the pod has no such model. */
  roomsFor({ model, version }: RoutedRequest): readonly ModelRoom[] {
    if (model === null) return this.#latest;
    const room = this.#rooms.get(version === null ? model : `${model}/${version}`);
    return room === undefined ? [] : [room];
  }

  send(nowMs: number, number: number, dueAtMs: number, request: RoutedRequest): void {
    this.#pending.set(number, { sentAtMs: nowMs, dueAtMs, request });
    if (this.#pending.size > MOST_PENDING) this.#pending.delete(firstOf(this.#pending.keys()));
    this.#place(nowMs, dueAtMs, request);
  }

  /** What was due by now has come, or never will. */
  forget(nowMs: number): void {
    for (const [number, { sentAtMs, dueAtMs }] of this.#pending)
      if (Math.min(dueAtMs, sentAtMs + PENDING_FOR_MS) < nowMs) this.#pending.delete(number);
  }

  #place(nowMs: number, dueAtMs: number, request: RoutedRequest): void {
    // One whose model is not known is taken to be for each of them.
    for (const room of this.roomsFor(request)) room.place(nowMs, dueAtMs, request.inputBytes);
  }
}

function firstOf(numbers: Iterable<number>): number {
  const [first] = numbers;
  return first!;
}
