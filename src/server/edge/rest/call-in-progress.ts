/*
 * What a call keeps from its head until its connection is done with it, in one object: thousands may wait, each for seconds. An
 * AbortController and a listener for each of these purposes took 4 KB of every request that waited.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { reached } from '../../path-points.js';
import { releaseAll } from '../../../scheduler/domain/tensor.js';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import type { Receipt } from '../receive-budget.js';
import type { BodyPlace, CallTrace, Departure } from '../../../protocol/service.js';
import { askUntilGone } from './half-closed.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** From the first hook on. */
    callInProgress: CallInProgress;
  }
}

/** Gives every request its call, before any other hook; they end in the order in which they were given what they end. */
export function followCalls(app: FastifyInstance): void {
  app.decorateRequest('callInProgress', null as unknown as CallInProgress);
  app.addHook('onRequest', (request, reply, next) => {
    request.callInProgress = new CallInProgress(request, reply);
    next();
  });
}

const NONE: readonly never[] = [];

export class CallInProgress implements Departure {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #isAborted = false;
  #onAbort: (() => void) | null = null;
  #receipt: Receipt | null = null;
  #place: BodyPlace | null = null;
  #outputs: readonly Tensor[] = NONE;
  #onEnd: (() => void) | null = null;
  #stopAsking: (() => void) | null = null;
  /** Told when it is over; null where nobody traces. */
  trace: CallTrace | null = null;

  constructor({ raw }: FastifyRequest, reply: FastifyReply) {
    reached('head');
    this.#request = raw;
    this.#response = reply.raw;
    // One for each request that a client has sent behind another: Node's warning at 11 is meant for leaks.
    raw.socket.setMaxListeners(0);
    raw.socket.on('end', this.#onHalfClosed);
    reply.raw.on('close', () => this.#end());
  }

  /** The client has left before the end of its answer. */
  get aborted(): boolean {
    return this.#isAborted;
  }

  /** One listener at a time. */
  addEventListener(_kind: 'abort', listener: () => void): void {
    if (this.#onAbort !== null) throw new Error('somebody else is told when the client leaves');
    this.#onAbort = listener;
  }

  removeEventListener(_kind: 'abort', listener: () => void): void {
    if (this.#onAbort === listener) this.#onAbort = null;
  }

  /** Released with the call, unless it was before: by whom its bytes are handed on to. */
  holdReceipt(receipt: Receipt): void {
    if (this.#response.closed) receipt.release();
    else this.#receipt = receipt;
  }

  releaseReceipt(): void {
    this.#receipt?.release();
    this.#receipt = null;
  }

  /** Released with the call, unless somebody takes it. */
  holdPlace(place: BodyPlace): void {
    if (this.#response.closed) place.release();
    else this.#place = place;
  }

  /** What the body lies in is the caller's to release; null where its memory is its own. */
  takePlace(): BodyPlace | null {
    const place = this.#place;
    this.#place = null;
    return place;
  }

  /** Released when the kernel has all of the answer, or there is nobody to send it to. */
  holdOutputs(outputs: readonly Tensor[]): void {
    if (this.#response.closed) releaseAll(outputs);
    else this.#outputs = outputs;
  }

  /** Called once, when the answer is sent or there is nobody to send it to. */
  whenEnded(onEnd: () => void): void {
    this.#onEnd = onEnd;
  }

  readonly #onHalfClosed = (): void => {
    this.#stopAsking = askUntilGone(this.#request, this.#response);
  };

  #end(): void {
    this.#request.socket.off('end', this.#onHalfClosed);
    this.#stopAsking?.();
    this.#onEnd?.();
    this.releaseReceipt();
    this.takePlace()?.release();
    releaseAll(this.#outputs);
    this.#outputs = NONE;
    if (this.#response.writableFinished) {
      reached('written');
      this.trace?.answered(this.#response.statusCode);
      return;
    }
    this.#isAborted = true;
    this.#onAbort?.();
    this.trace?.answered(null);
  }
}
