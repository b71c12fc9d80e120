import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { BatchAudit, type AnsweredMember } from './batch-audit.js';

function floats(name: string, ...values: number[]): Tensor {
  const data = new Uint8Array(Float32Array.from(values).buffer);
  return { name, datatype: 'FP32', shape: [1, values.length], data };
}

function member(value: number, outputs: readonly Tensor[] = [floats('y', value)]): AnsweredMember {
  return { inputs: [floats('x', value)], outputs };
}

const alone = [floats('y', 1), floats('z', 2)];

describe('the audit of batches', () => {
  it('takes the first member at once, one at a time, and copies what belongs to the client', () => {
    const audit = new BatchAudit();
    const first = member(1);
    audit.offer(0, first);
    audit.offer(0, member(2));
    first.inputs[0]!.data.fill(0);
    expect(audit.member).toEqual(member(1));
  });

  it('looks ever more seldom while nothing is found, and once a minute at least', () => {
    const audit = new BatchAudit();
    const takenAtMs: number[] = [];
    for (let nowMs = 0; nowMs <= 400_000; nowMs += 100) {
      audit.offer(nowMs, member(1));
      if (audit.member === null) continue;
      takenAtMs.push(nowMs);
      expect(audit.judge(nowMs, alone, alone)).toEqual({ result: 'same', difference: '' });
    }
    // Half a second, doubled each time, up to 60 s.
    const gapsMs = takenAtMs.slice(1).map((atMs, i) => atMs - takenAtMs[i]!);
    expect(gapsMs).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000]);
  });

  it('finds an answer that was another than alone, of the outputs that were asked for', () => {
    const audit = new BatchAudit();
    audit.offer(0, member(1, [floats('z', 2)]));
    expect(audit.judge(0, alone, alone).result).toBe('same');
    audit.offer(1000, member(1, [floats('z', 2.5)]));
    expect(audit.judge(1000, alone, alone)).toEqual({
      result: 'different',
      difference: "output 'z' depends on its batch-mates",
    });
  });

  it('learns nothing from a model that refuses the member, and is as soon back', () => {
    const audit = new BatchAudit();
    audit.offer(0, member(1));
    expect(audit.judge(0, 'out of range', alone)).toEqual({ result: 'failed', difference: 'out of range' });
    audit.offer(499, member(1));
    expect(audit.member).toBeNull();
    audit.offer(500, member(1));
    expect(audit.member).not.toBeNull();
  });

  it('lets a member go that its worker was lost with, and waits longer for the next', () => {
    const audit = new BatchAudit();
    const takenAtMs: number[] = [];
    for (let nowMs = 0; nowMs <= 8000; nowMs += 100) {
      audit.offer(nowMs, member(1));
      if (audit.member === null) continue;
      takenAtMs.push(nowMs);
      audit.discard(nowMs);
    }
    expect(takenAtMs).toEqual([0, 500, 1500, 3500, 7500]);
  });

  it('leaves alone what would take too much memory', () => {
    const audit = new BatchAudit();
    const large: Tensor = {
      name: 'x',
      datatype: 'UINT8',
      shape: [1, 17 * 1024 ** 2],
      data: new Uint8Array(17 * 1024 ** 2),
    };
    audit.offer(0, { inputs: [large], outputs: [] });
    expect(audit.member).toBeNull();
  });
});
