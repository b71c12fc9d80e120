import { describe, expect, it } from 'vitest';
import { OnnxGraph } from './onnx-writer.js';

// That ONNX Runtime reads and runs what is written: test/system/models.test.ts.

describe('OnnxGraph', () => {
  it('refuses a constant whose bytes do not fill its shape: 2 × 3 floats are 24 bytes', () => {
    const graph = new OnnxGraph('g');
    expect(() => graph.constant('w', 'FP32', [2, 3], new Float32Array(5))).toThrow(
      'constant w: 20 bytes given, [2, 3] needs 24',
    );
    expect(graph.constant('w', 'FP32', [2, 3], new Float32Array(6))).toBe('w');
    expect(graph.parameterCount).toBe(6);
  });

  it('takes the view of a larger buffer, not the buffer', () => {
    const graph = new OnnxGraph('g');
    graph.constant('w', 'UINT8', [2], Uint8Array.of(9, 0xab, 0xcd, 9).subarray(1, 3));
    // TensorProto: dims 2, data type 2 (uint8), name "w", raw data ab cd.
    expect(Buffer.from(graph.toModel()).toString('hex')).toContain('0802' + '1002' + '420177' + '4a02abcd');
  });

  it('makes up a different name for every result, and tells it', () => {
    const graph = new OnnxGraph('g');
    const x = graph.input('x', 'FP32', ['batch']);
    expect([graph.add('Relu', [x]), graph.add('Relu', [x]), graph.add('Relu', [x], {}, 'y')]).toEqual([
      'g/Relu_0',
      'g/Relu_1',
      'y',
    ]);
  });
});
