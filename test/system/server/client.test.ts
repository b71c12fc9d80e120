import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import {
  Client,
  InferenceError,
  numbersOf,
  tensorOf,
  Unreachable,
  type InferCall,
} from '../../../src/protocol/client/index.js';
import { TestBench } from './harness.js';

/* The client that the package gives to others, and `sponge infer` uses. */

const bench = new TestBench();
afterAll(() => bench.close());

const first = Int32Array.from({ length: 16 }, (_, index) => index);
const second = new Int32Array(16).fill(3);
const call: InferCall = {
  model: 'simple',
  inputs: [tensorOf('INPUT0', [1, 16], first), tensorOf('INPUT1', [1, 16], second)],
};

describe('a client', () => {
  let client: Client;
  beforeAll(async () => {
    client = new Client((await bench.serve(bench.model('simple', simple()), ['--no-refine'])).rest);
  });

  it('is told what a model takes, and what it answers', async () => {
    const { inputs, outputs } = await client.describe('simple');
    expect(inputs.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual([
      ['INPUT0', 'INT32', [-1, 16]],
      ['INPUT1', 'INT32', [-1, 16]],
    ]);
    expect(outputs.map(({ name }) => name)).toEqual(['OUTPUT0', 'OUTPUT1']);
    const answer = await client.infer({ ...call, sloMs: 60_000 });
    expect(answer.outputs.map((output) => numbersOf(output, 'INT32'))).toEqual([
      first.map((value) => value + 3),
      first.map((value) => value - 3),
    ]);
    expect(answer.header).toMatchObject({ model_name: 'simple', parameters: { sponge_batch: 1 } });
  });

  it('asks for one output of one version', async () => {
    const { outputs } = await client.infer({ ...call, version: '1', outputNames: ['OUTPUT1'], sloMs: 60_000 });
    expect(outputs.map(({ name }) => name)).toEqual(['OUTPUT1']);
  });

  it('is refused in words of the server', async () => {
    const refusal = client.infer({ ...call, model: 'nobody' });
    await expect(refusal).rejects.toThrow(InferenceError);
    await expect(refusal).rejects.toMatchObject({
      status: 404,
      message: expect.stringMatching(/^404: .*nobody/) as unknown,
    });
    // No time is left of it when it has been read.
    await expect(client.infer({ ...call, sloMs: 0.001 })).rejects.toMatchObject({ status: 504 });
  });

  it('leaves when its signal says so, and for the reason that it gives', async () => {
    const reason = new Error('nobody waits');
    const signal = AbortSignal.abort(reason);
    await expect(client.infer({ ...call, signal })).rejects.toBe(reason);
  });

  it('says that nobody is there', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    await new Promise((resolve) => holder.close(resolve));
    await expect(new Client(`http://127.0.0.1:${port}`).infer(call)).rejects.toThrow(Unreachable);
  });
});
