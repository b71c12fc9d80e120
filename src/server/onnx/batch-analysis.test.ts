import { describe, expect, it } from 'vitest';
import { BATCH_CASES } from '../../../test/fixtures/batch-cases/index.js';
import { Sketch } from '../../../test/fixtures/graph-sketch.js';
import { ProtobufMessage } from './protobuf-writer.js';
import { analyseBatching } from './batch-analysis.js';
import { readModelGraph } from './model-graph.js';
import { COMPUTE_RULES, TABULAR_RULES } from './rules-compute.js';
import { ELEMENTWISE_RULES } from './rules-elementwise.js';
import { IMAGE_RULES } from './rules-image.js';
import { MULTIPLY_RULES } from './rules-multiply.js';
import { SELECT_RULES } from './rules-select.js';
import { SHAPE_RULES } from './rules-shape.js';

// That ONNX Runtime agrees where rows are called independent: test/system/onnx/batch-cases.test.ts, and, of random graphs,
// test/system/onnx/batch-analysis.test.ts.

describe('reading a graph', () => {
  it.each(BATCH_CASES)('calls $operator $title $verdict', ({ verdict, at, model }) => {
    const found = analyseBatching(readModelGraph(model()));
    if (found.kind === 'independent') expect(found.kind).toBe(verdict);
    else expect(`${found.kind}: ${found.node} ${found.reason}`).toMatch(new RegExp(`^${verdict}: ${at} .`));
  });

  it.each([
    ['elementwise', ELEMENTWISE_RULES],
    ['shape', SHAPE_RULES],
    ['image', IMAGE_RULES],
    ['compute', COMPUTE_RULES],
    ['tabular', TABULAR_RULES],
    ['multiply', MULTIPLY_RULES],
    ['select', SELECT_RULES],
  ])('has cases for each of its %s rules, rows kept apart among them', (_, rules) => {
    const kept = new Set(BATCH_CASES.flatMap(({ operator, verdict }) => (verdict === 'independent' ? operator : [])));
    expect([...rules.keys()].filter((name) => !kept.has(name))).toEqual([]);
  });

  it.each(['', 'ai.onnx'])(
    'follows no operator that the file defines itself, whatever its name, in the domain "%s"',
    (domain) => {
      const sketch = new Sketch();
      sketch.output(sketch.op('Relu', [sketch.x()]), 'FP32', null);
      // ModelProto.functions = 25; FunctionProto.name = 1, domain = 10.
      const definition = new ProtobufMessage().text(1, 'Relu').text(10, domain);
      const functions = new ProtobufMessage().message(25, definition).toBytes();
      const model = Buffer.concat([sketch.toModel(), functions]);
      expect(analyseBatching(readModelGraph(model))).toMatchObject({ kind: 'unknown', node: "Relu 'Relu_1'" });
    },
  );
});
