import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelEntry } from '../../src/protocol/service.js';
import { okReply } from './fake-service.js';
import { call, startRest, type RestReply, type RestUnderTest } from './rest-harness.js';

/*
 * A model is replaced by another one while a request to it is read: a body that is unpacked, or read on another thread, is not there
 * at once. The request is checked against the one that gets it.
 */

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await startRest();
});
afterAll(() => rest.server.close());

const INPUTS = [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }];

/** The model is looked up when the head of a request has come, when its body has, and when that is read: from then on there is another. */
const LOOKED_UP_BEFORE = 2;

/** Asks `raw`, whose place `next` takes meanwhile. */
async function askWhileReplaced(next: Partial<ModelEntry>, body: object): Promise<RestReply> {
  const { fake } = rest;
  fake.reset();
  const before = fake.model('raw');
  const lookUp = fake.model.bind(fake);
  const after = { ...before, version: '2', ...next };
  let count = 0;
  fake.model = () => (count++ < LOOKED_UP_BEFORE ? before : after);
  fake.behaviour = (inferCall) => Promise.resolve(okReply(after, inferCall));
  try {
    return await call(rest.server, 'POST', '/v2/models/raw/infer', gzipSync(JSON.stringify(body)), {
      'content-encoding': 'gzip',
    });
  } finally {
    expect(count).toBe(LOOKED_UP_BEFORE + 1);
    fake.model = lookUp;
  }
}

function withInput(name: string, shape: readonly number[]): Partial<ModelEntry> {
  const outputs = [{ name: 'y', datatype: 'FP32', shape } as const];
  return { signature: { inputs: [{ name, datatype: 'FP32', shape }], outputs } };
}

describe('a model that is replaced while a request to it is read', () => {
  it('answers by the new one where that has the same inputs', async () => {
    const reply = await askWhileReplaced(withInput('x', [-1, 4]), { inputs: INPUTS });
    expect([reply.status, reply.json()]).toMatchObject([200, { model_version: '2' }]);
  });

  it.each<[string, Partial<ModelEntry>, object, string]>([
    ['other inputs', withInput('z', [-1, 4]), { inputs: INPUTS }, "unknown input 'x'; model 'raw' has 'z'"],
    ['another shape', withInput('x', [-1, 5]), { inputs: INPUTS }, 'expected FP32 [-1, 5], got FP32 [1, 4]'],
    [
      'other outputs',
      { signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }], outputs: [] } },
      { inputs: INPUTS, outputs: [{ name: 'y' }] },
      "unknown output 'y'",
    ],
  ])('refuses a request that is none of the new one’s, and says why: %s', async (_, next, body, reason) => {
    const reply = await askWhileReplaced(next, body);
    const { error } = reply.json() as { error: string };
    expect([reply.status, error]).toEqual([400, expect.stringContaining(reason)]);
    expect(error).toContain("version 2 has taken the model's place since the request came");
    expect(rest.fake.calls).toEqual([]);
  });

  it('says only what is wrong where it was wrong before too', async () => {
    const { error } = (await call(rest.server, 'POST', '/v2/models/raw/infer', { inputs: [] })).json() as {
      error: string;
    };
    expect(error).toBe("missing input 'x'");
  });
});
