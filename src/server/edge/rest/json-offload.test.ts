import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { createJsonOffload, startJsonThread } from './json-offload.js';

const STAYS = new AbortController().signal;

function jsonBody(count: number): Buffer {
  const data = Array.from({ length: count }, (_, index) => index);
  return Buffer.from(JSON.stringify({ inputs: [{ name: 'x', shape: [count], datatype: 'INT32', data }] }));
}

describe('the JSON thread', () => {
  it('decodes a body that it takes over', async () => {
    const offload = createJsonOffload(Error);
    const decoded = await offload.decode(jsonBody(3), null, STAYS);
    expect(decoded.inputs[0]).toMatchObject({ name: 'x', shape: [3], datatype: 'INT32' });
    expect([...new Int32Array(decoded.inputs[0]!.data.slice().buffer)]).toEqual([0, 1, 2]);
    await offload.close();
  });

  it('leaves a result’s tensors to their owner', async () => {
    const offload = createJsonOffload(Error);
    const tensor = {
      name: 'y',
      datatype: 'UINT8',
      shape: [2],
      data: Uint8Array.of(0, 1, 2, 3).subarray(1, 3),
    } as const;
    const response = { modelName: 'm', modelVersion: '1', parameters: {} };
    const encoded = await offload.encode({ ...response, outputs: [{ tensor, isBinary: false }] }, STAYS);
    expect(JSON.parse(Buffer.from(encoded.json).toString())).toMatchObject({ outputs: [{ data: [1, 2] }] });
    expect([...tensor.data]).toEqual([1, 2]);
    await offload.close();
  });

  it('refuses the body that it ran out of memory for, and serves the next with a new thread', async () => {
    const offload = createJsonOffload(Error, 16 * 1024 ** 2);
    // A million arrays take far more than 16 MiB.
    const bomb = Buffer.from(`[${'[[]],'.repeat(1_000_000)}0]`);
    const broken = offload.decode(bomb, null, STAYS);
    const next = offload.decode(jsonBody(3), null, STAYS);
    await expect(broken).rejects.toMatchObject({ error: { kind: 'too_large' } });
    expect((await next).inputs).toHaveLength(1);
    await offload.close();
  });

  it('refuses what no request can consist of before it is read', async () => {
    const offload = createJsonOffload(Error);
    const members = Buffer.from(`{${'"a":0,'.repeat(20_000)}"b":0}`);
    await expect(offload.decode(members, null, STAYS)).rejects.toThrow('more than 16384 members');
    await offload.close();
  });

  it('bounds what waits, and does not begin a job whose client left', async () => {
    const offload = createJsonOffload((message) => new Error(message));
    const departure = new AbortController();
    await offload.decode(jsonBody(3), null, STAYS);
    // One runs, 256 wait.
    const running = offload.decode(jsonBody(3), null, STAYS);
    const waiting = Array.from({ length: 256 }, () => offload.decode(jsonBody(3), null, departure.signal));
    await expect(offload.decode(jsonBody(3), null, STAYS)).rejects.toThrow('256 large JSON bodies are waiting');
    departure.abort();
    expect((await running).inputs).toHaveLength(1);
    const settled = await Promise.allSettled(waiting);
    expect(settled.map((result) => result.status)).toEqual(Array(256).fill('rejected'));
    await offload.close();
  });

  it('waits where no thread can be started, and serves once one can', async () => {
    let startCount = 0;
    const offload = createJsonOffload(Error, undefined, (maxHeapBytes) =>
      ++startCount < 4 ? new Worker('/no/such/thread.js') : startJsonThread(maxHeapBytes),
    );
    const counts = [1, 50_000, 50_001];
    const decoded = await Promise.all(counts.map((count) => offload.decode(jsonBody(count), null, STAYS)));
    expect(decoded.map(({ inputs }) => inputs[0]!.shape)).toEqual(counts.map((count) => [count]));
    expect(startCount).toBe(4);
    await offload.close();
  });

  it('refuses, with the cause, what waited long for a thread', async () => {
    const offload = createJsonOffload(
      (message) => new Error(message),
      undefined,
      () => new Worker('/no/such/thread.js'),
    );
    await expect(offload.decode(jsonBody(3), null, STAYS)).rejects.toThrow(
      /no thread can be started \(.*no\/such\/thread/,
    );
    await offload.close();
  });
});
