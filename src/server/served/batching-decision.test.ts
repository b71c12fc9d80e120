import { describe, expect, it } from 'vitest';
import type { ModelSignature, Tensor } from '../../scheduler/domain/tensor.js';
import type { BatchVerdict } from '../onnx/batch-analysis.js';
import type { RunBatch } from '../workers/batch-trial.js';
import { WorkerLostError } from '../workers/synthetic-load.js';
import { NoiseSamples, type Sample } from '../workers/samples.js';
import { decideBatching, type BatchingDecision, type BatchingQuestion } from './batching-decision.js';

const INDEPENDENT: BatchVerdict = { kind: 'independent' };
const COUPLED: BatchVerdict = { kind: 'coupled', node: 'Softmax "scores"', reason: 'along the rows' };
const UNKNOWN: BatchVerdict = { kind: 'unknown', node: 'Loop "steps"', reason: 'it is not followed' };

function signatureOf(firstAxis: number): ModelSignature {
  const spec = { datatype: 'FP32', shape: [firstAxis, 2] } as const;
  return { inputs: [{ name: 'x', ...spec }], outputs: [{ name: 'y', ...spec }] };
}

const SIGNATURE = signatureOf(-1);
const output = ([x]: Sample): readonly Tensor[] => [{ ...x!, name: 'y' }];
const independently: RunBatch = (batch) => Promise.resolve(batch.map(output));
const allLikeTheFirst: RunBatch = (batch) => Promise.resolve(batch.map(() => output(batch[0]!)));
const refusing: RunBatch = () => Promise.resolve('out of range');
const deadly: RunBatch = () => Promise.reject(new WorkerLostError('killed by SIGFPE'));

function decide(changes: Partial<BatchingQuestion>): Promise<BatchingDecision> {
  const samples = new NoiseSamples(SIGNATURE, { x: [1, 2] }, []);
  return decideBatching({
    mode: 'auto',
    verdict: INDEPENDENT,
    signature: SIGNATURE,
    samples,
    hints: [],
    run: () => Promise.reject(new Error('nothing is to be run')),
    ...changes,
  });
}

describe('whether requests share batches', () => {
  it.each<[string, Partial<BatchingQuestion>, Partial<BatchingDecision>]>([
    ['proven', {}, { isBatchable: true, isAudited: false, reason: 'proven: its graph keeps rows apart' }],
    [
      'coupled, by the name of the operator',
      { verdict: COUPLED },
      { isBatchable: false, reason: 'Softmax "scores": along the rows' },
    ],
    ['unknown, and tried', { verdict: UNKNOWN, run: independently }, { isBatchable: true, isAudited: true }],
    ['unknown, and refuted', { verdict: UNKNOWN, run: allLikeTheFirst }, { isBatchable: false, isAudited: false }],
    ['unknown, and not to be run', { verdict: UNKNOWN, run: refusing }, { isBatchable: false, hasKilled: false }],
    ['unknown, and nothing to try it with', { verdict: UNKNOWN, samples: null }, { isBatchable: false }],
    ['unknown, and rows have no axis', { verdict: UNKNOWN, signature: signatureOf(1) }, { isBatchable: false }],
    ['unknown, and the worker dies of it', { verdict: UNKNOWN, run: deadly }, { isBatchable: false, hasKilled: true }],
    ['turned off', { mode: 'off' }, { isBatchable: false, reason: 'batching is turned off' }],
    ['turned on, and proven', { mode: 'on' }, { isBatchable: true, isAudited: false, warning: null }],
  ])('%s', async (_, changes, expected) => {
    expect(await decide(changes)).toMatchObject(expected);
  });

  it.each([
    [COUPLED, /change each other’s answers \(Softmax "scores": along the rows\)/],
    [UNKNOWN, /does not tell whether that is right \(Loop "steps"/],
  ])('is what the operator says, who is warned of what was found', async (verdict, warning) => {
    const decision = await decide({ mode: 'on', verdict });
    expect(decision.isBatchable).toBe(true);
    expect(decision.warning).toMatch(warning);
  });

  it('is no decision where something else failed', async () => {
    await expect(decide({ verdict: UNKNOWN })).rejects.toThrow('nothing is to be run');
  });
});
