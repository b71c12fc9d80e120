import fc from 'fast-check';
import { MessageChannel, receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { BodyPlace, InferCall, InferenceService, InferReply } from '../../protocol/service.js';
import { createFakeService, okReply } from '../../../test/conformance/fake-service.js';
import { ReceiveBudget } from '../edge/receive-budget.js';
import { Regions } from './addresses.js';
import { Outbox } from './outbox.js';
import { RemoteCalls } from './remote-calls.js';
import { ThreadCalls } from './thread-calls.js';
import type { Envelope, ToIoThread, ToPlanner } from './wire.js';

/*
 * Calls from one end to the other, over a port as threads have it, with both ends here: what is said is cloned and handed over all the same.
 */

const BUDGET_BYTES = 1 << 20;

class BothEnds {
  readonly budget = new ReceiveBudget(BUDGET_BYTES);
  readonly calls: RemoteCalls;
  readonly planner: ThreadCalls;
  readonly unforeseen: unknown[] = [];
  readonly #port: MessagePort;
  version = 1;

  constructor(service: InferenceService) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port2;
    this.calls = new RemoteCalls(new Outbox<ToPlanner>(port2), this.budget, new Regions(), () => 0);
    this.planner = new ThreadCalls({
      ...{ service, port: port1, threadCount: 1, snapshotVersion: () => this.version },
      onUnforeseen: (error) => this.unforeseen.push(error),
      ...{ onLog: () => undefined, onLogLevel: () => undefined },
    });
  }

  infer(call: InferCall, departure = new AbortController().signal): Promise<InferReply> {
    return this.calls.infer(call, departure, 1);
  }

  /** Reads what has been said to the io thread until this is so. */
  async hear(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise((resolve) => setImmediate(resolve));
      const received = receiveMessageOnPort(this.#port) as { message: Envelope<ToIoThread> } | undefined;
      for (const entry of received?.message.entries ?? []) {
        if (entry[0] === 'grant') this.calls.granted(entry);
        else if (entry[0] === 'taken') this.calls.taken(entry[1]);
        else if (entry[0] === 'ok' || entry[0] === 'refused' || entry[0] === 'error')
          this.calls.answered(entry, received!.message);
      }
    }
  }

  async answerTo(replying: Promise<InferReply>): Promise<InferReply> {
    let reply: InferReply | null = null;
    void replying.then((answer) => (reply = answer));
    await this.hear(() => reply !== null);
    return replying;
  }

  close(): void {
    this.planner.close();
    this.#port.close();
  }
}

function callOf(modelName: string, inputs: readonly Tensor[], more: Partial<InferCall> = {}): InferCall {
  const arrival = { firstByteAtMs: 1.25, receivedAtMs: 2.5, routerDelayMs: 0.5, bodyBytes: 99, peer: '10.0.0.7' };
  return { modelName, inputs, outputNames: [], parameters: {}, statedBudgetsMs: [], arrival, ...more };
}

function bytesTensor(data: Uint8Array): Tensor {
  return { name: 'x', datatype: 'UINT8', shape: [1, data.length], data };
}

/** Copied with others, copied alone, handed over. */
const size = fc.constantFrom(0, 1, 16, 4096, 4097, 20_000, 140_000, 300_000);
const optional = fc.option(fc.string(), { nil: undefined });

describe('a call to another thread', () => {
  it('arrives as it was sent, and its answer as it was given', async () => {
    const service = createFakeService();
    const ends = new BothEnds(service);
    const property = fc.asyncProperty(
      ...[
        fc.array(fc.record({ size, id: optional, tokenName: optional, pick: optional }), {
          minLength: 1,
          maxLength: 6,
        }),
      ],
      async (requests) => {
        service.calls.length = 0;
        const sent = requests.map(({ size: byteCount, id, tokenName, pick }, index) => {
          const data = Uint8Array.from({ length: byteCount }, (_, at) => (at + index) % 251);
          const call = callOf('identity_uint8', [bytesTensor(data)], {
            parameters: { timeout: index, text: 'é', flag: true },
            statedBudgetsMs: [12.5],
            ...(id === undefined ? {} : { id }),
            ...(pick === undefined ? {} : { pick }),
          });
          const arrival = tokenName === undefined ? call.arrival : { ...call.arrival, tokenName };
          return { call: { ...call, arrival }, bytes: Buffer.from(data) };
        });
        const replies = sent.map(({ call }) => ends.infer(call));
        for (const [index, replying] of replies.entries()) {
          const reply = await ends.answerTo(replying);
          const { call, bytes } = sent[index]!;
          const arrived = service.calls[index]!.call;
          const { inputs, ...rest } = arrived;
          expect({ ...rest, inputs: [] }).toEqual({ ...call, inputs: [] });
          expect(Buffer.from(inputs[0]!.data).equals(bytes)).toBe(true);
          const asHere = okReply(service.model('identity_uint8'), arrived);
          if (reply.kind !== 'ok' || asHere.kind !== 'ok') throw new Error('not answered');
          expect(Buffer.from(reply.outputs[0]!.data).equals(bytes)).toBe(true);
          expect({ ...reply.outcome, outputs: [] }).toEqual({ ...asHere.outcome, outputs: [] });
          expect(reply.explanation).toEqual(asHere.explanation);
          for (const { lease } of reply.outputs) lease?.release();
        }
        expect([ends.budget.takenBytes, ends.calls.pendingCount, ends.planner.callCount]).toEqual([0, 0, 0]);
      },
    );
    await fc.assert(property, { numRuns: 30 });
    ends.close();
  });

  it('leaves its buffer to others that lie in it, and takes it along where it is the larger part', async () => {
    const ends = new BothEnds(createFakeService());
    const shared = new Uint8Array(1 << 20);
    await ends.answerTo(ends.infer(callOf('identity_uint8', [bytesTensor(shared.subarray(0, 200_000))])));
    expect(shared.buffer.byteLength).toBe(1 << 20);
    await ends.answerTo(ends.infer(callOf('identity_uint8', [bytesTensor(shared.subarray(0, 600_000))])));
    expect(shared.buffer.byteLength).toBe(0);
    ends.close();
  });

  it('whose client leaves is called off, once', async () => {
    const service = createFakeService();
    let left = 0;
    service.behaviour = (_call, departure) =>
      new Promise((resolve) => {
        departure.addEventListener('abort', () => {
          left += 1;
          resolve({ kind: 'error', error: { kind: 'unavailable', message: 'left' } });
        });
      });
    const ends = new BothEnds(service);
    const client = new AbortController();
    const replying = ends.infer(callOf('raw', []), client.signal);
    await ends.hear(() => service.calls.length === 1);
    client.abort();
    expect(await ends.answerTo(replying)).toMatchObject({ kind: 'error', error: { message: 'left' } });
    expect(left).toBe(1);
    ends.close();
  });

  it('counts as on its way in until it has been taken', async () => {
    const service = createFakeService();
    service.behaviour = () => new Promise(() => undefined);
    const ends = new BothEnds(service);
    void ends.infer(callOf('identity_uint8', [bytesTensor(new Uint8Array(50_000))]));
    expect(ends.budget.takenBytes).toBe(50_000);
    await ends.hear(() => ends.budget.takenBytes === 0);
    expect(service.calls).toHaveLength(1);
    ends.close();
  });

  it('is checked anew where the models have changed since', async () => {
    const ends = new BothEnds(createFakeService());
    ends.version = 2;
    const good = ends.infer(callOf('identity_uint8', [bytesTensor(new Uint8Array(4))]));
    expect((await ends.answerTo(good)).kind).toBe('ok');
    const wrong = ends.infer(callOf('fixed', [bytesTensor(new Uint8Array(4))]));
    const refused = await ends.answerTo(wrong);
    expect(refused.kind === 'error' ? refused.error.message : '').toContain('has been replaced since');
    ends.close();
  });

  it('that breaks the service is answered, and told of', async () => {
    const service = createFakeService();
    service.behaviour = () => {
      throw new Error('broken');
    };
    const ends = new BothEnds(service);
    const reply = await ends.answerTo(ends.infer(callOf('raw', [])));
    expect(reply).toEqual({ kind: 'error', error: { kind: 'internal', message: 'internal error' } });
    expect(ends.unforeseen).toHaveLength(1);
    ends.close();
  });
});

describe('a place for a body', () => {
  it('is there from the second body of a size on, and is given back once whatever becomes of the body', async () => {
    const service = createFakeService();
    const held = new Set<BodyPlace>();
    service.placeFor = (_name, byteCount) => {
      const place: BodyPlace = {
        bytes: new Uint8Array(byteCount),
        release: () => expect(held.delete(place)).toBe(true),
      };
      held.add(place);
      return place;
    };
    const ends = new BothEnds(service);
    expect(ends.calls.placeFor('identity_uint8', 50_000)).toBeNull();
    await ends.hear(() => held.size === 1);
    // Of another size or model there is none.
    expect(ends.calls.placeFor('identity_uint8', 20_000)).toBeNull();
    expect(ends.calls.placeFor('raw', 50_000)).toBeNull();
    const place = await untilThere(ends, () => ends.calls.placeFor('identity_uint8', 49_000));
    place.bytes.fill(7);
    const reply = await ends.answerTo(ends.infer(callOf('identity_uint8', [bytesTensor(place.bytes.subarray(1000))])));
    place.release();
    expect(service.calls[0]!.call.inputs[0]!.data).toEqual(new Uint8Array(48_000).fill(7));
    if (reply.kind !== 'ok') throw new Error('not answered');
    for (const { lease } of reply.outputs) lease?.release();
    // One whose body came to nothing is used again.
    const unused = await untilThere(ends, () => ends.calls.placeFor('identity_uint8', 50_000));
    unused.release();
    expect(ends.calls.placeFor('identity_uint8', 50_000)?.bytes.buffer).toBe(unused.bytes.buffer);
    ends.close();
    expect(held.size).toBe(0);
  });
});

async function untilThere(ends: BothEnds, find: () => BodyPlace | null): Promise<BodyPlace> {
  let found: BodyPlace | null = null;
  await ends.hear(() => (found = find()) !== null);
  return found!;
}
