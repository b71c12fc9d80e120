import type { FastifyReply, FastifyRequest } from 'fastify';
import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ReceiveBudget } from '../receive-budget.js';
import { CallInProgress } from './call-in-progress.js';

class Bench {
  readonly socket = new EventEmitter();
  readonly response = Object.assign(new EventEmitter(), { closed: false, writableFinished: false });
  readonly call: CallInProgress;

  constructor() {
    const request = { raw: { socket: this.socket } } as unknown as FastifyRequest;
    this.call = new CallInProgress(request, { raw: this.response } as unknown as FastifyReply);
  }

  close({ isAnswered }: { readonly isAnswered: boolean }): void {
    Object.assign(this.response, { closed: true, writableFinished: isAnswered });
    this.response.emit('close');
  }
}

describe('a call in progress', () => {
  it('tells of a client that leaves before the end of its answer, once', () => {
    const bench = new Bench();
    let told = 0;
    bench.call.addEventListener('abort', () => (told += 1));
    expect(bench.call.aborted).toBe(false);
    bench.close({ isAnswered: false });
    expect([bench.call.aborted, told]).toEqual([true, 1]);
  });

  it('tells nobody who listens no more, or of an answer that was sent', () => {
    const gone = new Bench();
    const listener = (): void => expect.unreachable();
    gone.call.addEventListener('abort', listener);
    gone.call.removeEventListener('abort', listener);
    gone.close({ isAnswered: false });

    const answered = new Bench();
    answered.call.addEventListener('abort', listener);
    answered.close({ isAnswered: true });
    expect(answered.call.aborted).toBe(false);
  });

  it('ends with its connection: its place is free, its bytes are given back, and the connection is not listened to', () => {
    const budget = new ReceiveBudget(100);
    const receipt = budget.open();
    receipt.take(60);
    const bench = new Bench();
    let ended = 0;
    bench.call.whenEnded(() => (ended += 1));
    bench.call.holdReceipt(receipt);
    expect([budget.takenBytes, bench.socket.listenerCount('end')]).toEqual([60, 1]);
    bench.close({ isAnswered: true });
    expect([budget.takenBytes, bench.socket.listenerCount('end'), ended]).toEqual([0, 0, 1]);
  });

  it('holds nothing for a client that has left already', () => {
    const budget = new ReceiveBudget(100);
    const receipt = budget.open();
    receipt.take(60);
    const bench = new Bench();
    bench.close({ isAnswered: false });
    bench.call.holdReceipt(receipt);
    expect(budget.takenBytes).toBe(0);
  });
});
