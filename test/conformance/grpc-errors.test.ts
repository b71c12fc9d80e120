import { status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OipFailure } from '../../src/protocol/service.js';
import type { Outcome } from '../../src/scheduler/domain/outcome.js';
import { refuseWith } from './fake-service.js';
import {
  call,
  framedMessage,
  rawCall,
  rawRequest,
  smallRequest,
  startHarness,
  trailersOf,
  withSession,
} from './grpc-harness.js';
import type { CallResult, Harness } from './grpc-harness.js';
import type { InferParameter } from '../../src/protocol/grpc/generated/open_inference.js';

const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';

let harness: Harness;
let triton: Harness;
beforeAll(async () => {
  harness = await startHarness();
  triton = await startHarness({}, 'triton');
});
afterEach(() => {
  expect(harness.logged).toEqual([]);
  harness.service.reset();
  triton.service.reset();
});
afterAll(async () => {
  await harness.close();
  await triton.close();
});

type Refusal = Exclude<Outcome, { kind: 'completed' }>;

const INFEASIBLE: Refusal = {
  kind: 'rejected-infeasible',
  reason: 'infeasible_at_max_cores',
  bestCaseMs: 80,
  remainingBudgetMs: 50,
};
const OVERLOAD: Refusal = {
  kind: 'rejected-overload',
  reason: 'queue_overload',
  bestCaseMs: 20,
  remainingBudgetMs: 50,
  earliestFinishMs: 130,
  retryAfterMs: 1200,
};

describe('gRPC status of a refused request', () => {
  it.each<[string, Refusal, status, status]>([
    ['infeasible_at_max_cores', INFEASIBLE, status.DEADLINE_EXCEEDED, status.DEADLINE_EXCEEDED],
    [
      'budget_spent_in_network',
      { ...INFEASIBLE, reason: 'budget_spent_in_network' },
      status.DEADLINE_EXCEEDED,
      status.DEADLINE_EXCEEDED,
    ],
    ['queue_overload', OVERLOAD, status.RESOURCE_EXHAUSTED, status.UNAVAILABLE],
    ['queue_full', { ...OVERLOAD, reason: 'queue_full' }, status.RESOURCE_EXHAUSTED, status.UNAVAILABLE],
    ['expired', { kind: 'expired', reason: 'expired', lateByMs: 3 }, status.DEADLINE_EXCEEDED, status.UNAVAILABLE],
    ['draining', { kind: 'failed', reason: 'draining', message: 'draining' }, status.UNAVAILABLE, status.UNAVAILABLE],
    [
      'model_unavailable',
      { kind: 'failed', reason: 'model_unavailable', message: 'restarting', retryAfterMs: 900 },
      status.UNAVAILABLE,
      status.UNAVAILABLE,
    ],
    ['backend', { kind: 'failed', reason: 'backend', message: 'model failed' }, status.INTERNAL, status.INTERNAL],
  ])('is, for %s, the one of the table', async (reason, outcome, ours, tritons) => {
    for (const [{ client, service }, expected] of [[harness, ours] as const, [triton, tritons] as const]) {
      service.behaviour = refuseWith(outcome);
      const { error } = await call(client, 'modelInfer', smallRequest());
      expect(error?.code).toBe(expected);
      expect(error?.details).not.toBe('');
      expect(error?.details).not.toContain('\n');
      expect(trailersOf(error)['x-sponge-reason']).toBe(reason);
    }
  });

  it('comes with the best case and no retry-after when it can never be met', async () => {
    const { client, service } = harness;
    service.behaviour = refuseWith(INFEASIBLE);
    const { error } = await call(client, 'modelInfer', smallRequest());
    expect(trailersOf(error)).toMatchObject({
      'x-sponge-best-case-ms': '80',
      'x-sponge-remaining-budget-ms': '50',
    });
    expect(trailersOf(error)).not.toHaveProperty('retry-after');
  });

  it('comes with retry-after under overload', async () => {
    const { client, service } = harness;
    service.behaviour = refuseWith(OVERLOAD);
    const { error } = await call(client, 'modelInfer', smallRequest());
    // 1200 ms is 2 whole seconds, rounded up.
    expect(trailersOf(error)).toMatchObject({
      'retry-after': '2',
      'x-sponge-retry-after-ms': '1200',
      'x-sponge-earliest-finish-ms': '130',
    });
  });
});

describe('gRPC status of a request that is wrong', () => {
  it.each<[string, () => ReturnType<typeof smallRequest>, status, string]>([
    ['an unknown model', () => smallRequest({ modelName: 'nope' }), status.NOT_FOUND, 'unknown model'],
    ['an unknown version', () => smallRequest({ modelVersion: '9' }), status.NOT_FOUND, 'version 9'],
    [
      'a wrong shape',
      () => rawRequest('raw', 'FP32', [1, 3], new Uint8Array(12)),
      status.INVALID_ARGUMENT,
      'expected FP32 [-1, 4], got FP32 [1, 3]',
    ],
    [
      'a wrong datatype',
      () => rawRequest('raw', 'INT32', [1, 4], new Uint8Array(16)),
      status.INVALID_ARGUMENT,
      'expected FP32',
    ],
    [
      'a wrong byte count',
      () => rawRequest('raw', 'FP32', [1, 4], new Uint8Array(15)),
      status.INVALID_ARGUMENT,
      'takes 16 bytes, got 15',
    ],
    ['FP8', () => rawRequest('raw', 'FP8', [1, 4], new Uint8Array(4)), status.INVALID_ARGUMENT, 'datatype FP8'],
    [
      'a negative size',
      () => rawRequest('raw', 'FP32', [-1, 4], new Uint8Array(16)),
      status.INVALID_ARGUMENT,
      'integer ≥ 0',
    ],
    [
      'an unknown output',
      () => smallRequest({ outputs: [{ name: 'nope', parameters: {} }] }),
      status.INVALID_ARGUMENT,
      "unknown output 'nope'",
    ],
    ['a model that is loading', () => smallRequest({ modelName: 'loading' }), status.UNAVAILABLE, 'LOADING'],
  ])('names the cause: %s', async (_what, request, code, text) => {
    const { client, service } = harness;
    const { error } = await call(client, 'modelInfer', request());
    expect(error?.code).toBe(code);
    expect(error?.details).toContain(text);
    expect(service.calls).toHaveLength(0);
  });

  it('is INVALID_ARGUMENT for bytes that are no message, on every unary method', async () => {
    // Field 1 claims 100 bytes and there are none.
    const body = framedMessage(new Uint8Array([0x0a, 100]));
    await withSession(harness.target, async (session) => {
      for (const path of [MODEL_INFER, '/inference.GRPCInferenceService/ModelReady', '/grpc.health.v1.Health/Check']) {
        const { headers } = await rawCall(session, path, {}, body);
        expect(headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
        expect(decodeURI(String(headers['grpc-message']))).toContain('malformed message');
      }
    });
  });

  it('is UNIMPLEMENTED for methods of the protocol that are not there', async () => {
    await withSession(harness.target, async (session) => {
      for (const method of ['ModelGenerate', 'serverLive', '']) {
        const path = `/inference.GRPCInferenceService/${method}`;
        const { headers } = await rawCall(session, path, {}, framedMessage(new Uint8Array(0)));
        expect(headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
      }
    });
  });

  it('keeps a message short and sendable, whatever the client put into it', async () => {
    const { client } = harness;
    // Clipped at 300 UTF-16 units, in the middle of a surrogate pair.
    for (const name of ['💥'.repeat(100_000), `x${'💥'.repeat(100_000)}`]) {
      const { error } = await call(client, 'modelInfer', smallRequest({ modelName: name }));
      expect(error?.code).toBe(status.NOT_FOUND);
      expect(error?.details.length).toBeLessThanOrEqual(300);
    }
  });

  it('tells nothing of an error of our own, and logs it', async () => {
    const { client, service, logged } = harness;
    service.behaviour = () => {
      throw new Error('secret path /var/lib/secret');
    };
    const { error } = await call(client, 'modelInfer', smallRequest());
    expect(error).toMatchObject({ code: status.INTERNAL, details: 'internal error' });
    expect(logged.splice(0)).toHaveLength(1);
  });

  it('passes on an error reply of the service', async () => {
    const { client, service } = harness;
    service.behaviour = () =>
      Promise.resolve({ kind: 'error', error: new OipFailure('invalid', 'timeout must be positive').error });
    const { error } = await call(client, 'modelInfer', smallRequest());
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: 'timeout must be positive' });
  });

  it('answers a model or version that does not exist as not ready, as Triton does', async () => {
    for (const { client } of [harness, triton]) {
      for (const request of [
        { name: 'nope', version: '' },
        { name: 'raw', version: '9' },
      ]) {
        expect((await call(client, 'modelReady', request)).response).toEqual({ ready: false });
      }
    }
  });

  it('refuses a request that is one of a sequence, and none that says it is not', async () => {
    const ask = (parameterChoice: InferParameter['parameterChoice']): Promise<CallResult<unknown>> =>
      call(harness.client, 'modelInfer', smallRequest({ parameters: { sequence_id: { parameterChoice } } }));
    const refused = await ask({ $case: 'stringParam', value: 'talk' });
    expect(refused.error?.code).toBe(status.INVALID_ARGUMENT);
    expect(refused.error?.details).toContain("parameter 'sequence_id' is not supported: models here keep no state");
    expect((await ask({ $case: 'uint64Param', value: 0 })).error).toBeNull();
  });
});
