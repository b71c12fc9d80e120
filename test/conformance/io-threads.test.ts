import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { BodyPlace, EdgeLimits, InferReply } from '../../src/protocol/service.js';
import type { Lease } from '../../src/scheduler/domain/tensor.js';
import { createFakeService, okReply, type FakeService } from './fake-service.js';
import { binaryBody, LIMITS } from './rest-harness.js';
import { startThreadsOf, type ThreadsUnderTest } from './threads-harness.js';

/*
 * What is only to be seen where there are several threads: that together they hold no more than one would, that one of them can end, and
 * that large tensors are where they were put. What every front end does, the project `threaded` looks at once more.
 */

let under: ThreadsUnderTest | null = null;
afterEach(async () => {
  await under?.close();
  under = null;
});

async function start(
  count: number,
  limits: Partial<EdgeLimits> = {},
  fake = createFakeService(),
): Promise<[FakeService, ThreadsUnderTest]> {
  under = await startThreadsOf(count, fake, { ...LIMITS, ...limits });
  return [fake, under];
}

/** After so long something hangs. */
const HUNG_MS = 60_000;

function until<Result>(isSo: () => Result | Promise<Result>): Promise<unknown> {
  return vi.waitUntil(isSo, { timeout: HUNG_MS, interval: 5 });
}

/** A connection of its own, so that any thread may have it. */
class Client {
  readonly socket: Socket;
  #chunks: Buffer[] = [];

  constructor({ host, restPort }: ThreadsUnderTest) {
    this.socket = connect(restPort, host);
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => void this.#chunks.push(chunk));
  }

  /** Since the last request. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get received(): string {
    return this.bytes.toString('latin1');
  }

  /** Of the last answer; null before. */
  get status(): number | null {
    const found = /^HTTP\/1\.1 (\d+)/.exec(this.received);
    return found === null ? null : Number(found[1]);
  }

  get isClosed(): boolean {
    return this.socket.destroyed;
  }

  post(path: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): this {
    this.#chunks = [];
    const lines = Object.entries({ host: 'test', 'content-length': String(body.length), ...headers });
    this.socket.write(`POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    this.socket.write(body);
    return this;
  }
}

const SMALL = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] });
const SMALL_PATH = '/v2/models/raw/infer';

function sendSmall(under: ThreadsUnderTest): Client {
  return new Client(under).post(SMALL_PATH, SMALL);
}

/** Calls wait until they are let go; each is answered as its model would. */
function holdCalls(fake: FakeService): () => void {
  const { behaviour } = fake;
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  fake.behaviour = async (call, departure): Promise<InferReply> => {
    await new Promise<void>((resolve) => {
      departure.addEventListener('abort', resolve);
      void held.then(resolve);
    });
    return departure.aborted ? CANCELLED : behaviour(call, departure);
  };
  return () => letGo();
}

const CANCELLED: InferReply = {
  kind: 'refused',
  outcome: { kind: 'cancelled', reason: 'cancelled' },
  explanation: {
    ...{ sloMs: 1, budgetMs: 1, networkDelayMs: 0, networkDelaySource: 'none', routerDelayMs: 0 },
    isDeadlineDefaulted: true,
  },
};

describe('threads together', () => {
  it('have as many calls in progress as one would, whoever has them, and room for the next one when one ends', async () => {
    const [fake, threads] = await start(3, { maxConcurrentCalls: 5 });
    const letGo = holdCalls(fake);
    const held = Array.from({ length: 5 }, () => sendSmall(threads));
    await until(() => fake.calls.length === 5);
    const more = Array.from({ length: 6 }, () => sendSmall(threads));
    await until(() => more.every(({ status }) => status !== null));
    expect(more.map(({ status }) => status)).toEqual(Array(6).fill(429));
    expect(more[0]!.received).toContain('5 calls are in progress, which is the limit');
    held[0]!.socket.destroy();
    await until(() => fake.calls.filter(({ signal }) => signal.aborted).length === 1);
    const next = sendSmall(threads);
    await until(() => fake.calls.length === 6);
    letGo();
    await until(() => [...held.slice(1), next].every(({ status }) => status === 200));
    const refusals: [string, string, number][] = [];
    threads.threads.collectRefusals((...refusal) => refusals.push(refusal));
    expect(refusals).toContainEqual(['rest', 'queue_full', 6]);
    for (const { socket } of [...held, ...more, next]) socket.destroy();
  });

  it('let one client have its part, and no more', async () => {
    const [fake, threads] = await start(2, { maxConcurrentCalls: 8, clientFraction: 0.5 });
    const letGo = holdCalls(fake);
    const clients = Array.from({ length: 7 }, () => sendSmall(threads));
    await until(() => clients.filter(({ status }) => status === 429).length === 3);
    expect(fake.calls.length).toBe(4);
    expect(clients.find(({ status }) => status === 429)!.received).toContain('client_limit');
    letGo();
    await until(() => clients.every(({ status }) => status !== null));
    for (const { socket } of clients) socket.destroy();
  });

  it('count what is on its way in until the planning thread has it', async () => {
    const [, threads] = await start(2, { maxBytesInReceipt: 300_000 });
    const { body, headers } = binaryBody(
      { inputs: [{ name: 'x', datatype: 'UINT8', shape: [1, 200_000], parameters: { binary_data_size: 200_000 } }] },
      new Uint8Array(200_000),
    );
    const path = '/v2/models/identity_uint8/infer';
    const send = (): Client => new Client(threads).post(path, body, headers);
    const statusOfNext = async (): Promise<number> => {
      const client = send();
      await until(() => client.status !== null);
      client.socket.destroy();
      return client.status!;
    };
    expect(await statusOfNext()).toBe(200);
    // Most of a body, and never the rest.
    const slow = new Client(threads).post(path, body.subarray(0, 150_000), {
      ...headers,
      'content-length': String(body.length),
    });
    await until(async () => (await statusOfNext()) === 429);
    const refused = Array.from({ length: 4 }, send);
    await until(() => refused.every(({ status }) => status === 429));
    slow.socket.destroy();
    await until(async () => (await statusOfNext()) === 200);
    for (const { socket } of refused) socket.destroy();
  });

  it('tell the time by one clock', async () => {
    const [fake, threads] = await start(2);
    const beforeMs = performance.now();
    const clients = Array.from({ length: 4 }, () => sendSmall(threads));
    await until(() => clients.every(({ status }) => status === 200));
    const afterMs = performance.now();
    for (const { call } of fake.calls) {
      // The first byte's instant may be the kernel's, which counts whole milliseconds and more.
      const { firstByteAtMs, receivedAtMs } = call.arrival;
      expect(receivedAtMs).toBeGreaterThanOrEqual(Math.max(beforeMs, firstByteAtMs));
      expect(receivedAtMs).toBeLessThanOrEqual(afterMs);
    }
    for (const { socket } of clients) socket.destroy();
  });

  it('know what is served as soon as anybody has been told', async () => {
    const [fake, threads] = await start(3);
    for (let round = 0; round < 20; round++) {
      fake.isReadyNow = round % 2 === 0;
      const { status } = await fetch(`http://${threads.host}:${threads.restPort}/v2/health/ready`, {
        headers: { connection: 'close' },
      });
      expect(status).toBe(fake.isReadyNow ? 200 : 503);
    }
  });
});

describe('a thread that ends', () => {
  it('loses its own calls, once each; others go on, and another thread takes its place', async () => {
    const [fake, threads] = await start(2, { maxConcurrentCalls: 12 });
    const letGo = holdCalls(fake);
    const clients = Array.from({ length: 12 }, () => sendSmall(threads));
    await until(() => fake.calls.length === 12);
    await threads.workers[0]!.terminate();
    await until(() => threads.warnings.length === 1);
    const left = fake.calls.filter(({ signal }) => signal.aborted);
    await until(() => clients.filter(({ isClosed }) => isClosed).length === left.length);
    expect(threads.warnings[0]).toMatch(new RegExp(`^io thread 0 ended, with ${left.length} calls: `));
    // Their places are free: also what the thread held of the limit is gone with it.
    const next = Array.from({ length: left.length }, () => sendSmall(threads));
    await until(() => fake.calls.length === 12 + left.length);
    letGo();
    const others = clients.filter(({ isClosed }) => !isClosed);
    await until(() => [...others, ...next].every(({ status }) => status === 200));
    await until(() => threads.workers.length === 3);
    expect(clients.filter(({ isClosed, status }) => isClosed && status === null).length).toBe(left.length);
    for (const { socket } of [...clients, ...next]) socket.destroy();
  });

  it('gives back what it was lent, and what its bodies lie in', async () => {
    const fake = createFakeService();
    const memory = withMemory(fake);
    const [, threads] = await start(1, {}, fake);
    const client = sendLarge(threads);
    await until(() => client.status === 200);
    holdCalls(fake);
    const second = sendLarge(threads);
    await until(() => fake.calls.length === 2);
    expect(memory.placesHeld()).toBeGreaterThan(0);
    await threads.workers[0]!.terminate();
    await until(() => memory.placesHeld() === 0 && memory.outputsHeld() === 0);
    for (const { socket } of [client, second]) socket.destroy();
  });
});

describe('large tensors', () => {
  it('lie where the worker reads them from the second body of a size on, and are read where the worker wrote them', async () => {
    const fake = createFakeService();
    const memory = withMemory(fake);
    const [, threads] = await start(1, {}, fake);
    const client = new Client(threads);
    for (let sent = 1; sent <= 5; sent++) {
      sendLarge(threads, client);
      await until(() => client.bytes.length >= floats.byteLength && client.bytes.subarray(-4).equals(LAST_FLOAT));
      const tail = client.bytes.subarray(-floats.byteLength);
      expect(tail.equals(Buffer.from(floats.buffer))).toBe(true);
    }
    expect(memory.inPlace()).toEqual([false, true, true, true, true]);
    await until(() => memory.outputsHeld() === 0);
    client.socket.destroy();
    await threads.close();
    expect(memory.placesHeld()).toBe(0);
  });
});

const ELEMENTS = 150_528;
const LAST_FLOAT = Buffer.from(Float32Array.of(ELEMENTS - 1).buffer);
const floats = Float32Array.from({ length: ELEMENTS }, (_, index) => index);
const LARGE_PATH = '/v2/models/identity_fp32/infer';

function sendLarge(threads: ThreadsUnderTest, client = new Client(threads)): Client {
  const parameters = { binary_data_size: floats.byteLength };
  const { body, headers } = binaryBody(
    {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, ELEMENTS], parameters }],
      parameters: { binary_data_output: true },
    },
    new Uint8Array(floats.buffer),
  );
  return client.post(LARGE_PATH, body, headers);
}

/** Places for bodies, and outputs that are lent. */
function withMemory(fake: FakeService): { placesHeld(): number; outputsHeld(): number; inPlace(): readonly boolean[] } {
  const places = new Set<BodyPlace>();
  let outputs = 0;
  const inPlace: boolean[] = [];
  fake.placeFor = (_modelName, byteCount) => {
    const place: BodyPlace = {
      bytes: new Uint8Array(byteCount),
      release: () => {
        if (!places.delete(place)) throw new Error('a place was given back twice');
      },
    };
    places.add(place);
    return place;
  };
  fake.behaviour = (call) => {
    inPlace.push([...places].some(({ bytes }) => bytes.buffer === call.inputs[0]!.data.buffer));
    const reply = okReply(fake.model(call.modelName), call);
    if (reply.kind !== 'ok') return Promise.resolve(reply);
    const lease: Lease = { hold: () => (outputs += 1), release: () => (outputs -= 1) };
    outputs += 1;
    const lent = reply.outputs.map((tensor) => ({ ...tensor, data: new Uint8Array(tensor.data), lease }));
    return Promise.resolve({ ...reply, outputs: lent });
  };
  return { placesHeld: () => places.size, outputsHeld: () => outputs, inPlace: () => inPlace };
}
