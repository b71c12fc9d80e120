import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { ModelSessions } from '../../../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../../../src/server/onnx-runtime/runtime.js';
import { isHeld } from '../../../src/server/onnx-runtime/values.js';
import { GraphFile } from '../../../src/server/onnx/model-file.js';
import { shapesFromSignature } from '../../../src/server/served/shape-class.js';
import { NoiseSamples } from '../../../src/server/workers/samples.js';
import type { Datatype } from '../../../src/scheduler/domain/tensor.js';

/*
 * ONNX Runtime runs what is made up with hints, one operator after another whose arguments mean something. Without hints it refuses
 * the noise, or gives nothing, or dies of it.
 */

const runtime = new Runtime();
const folder = mkdtempSync(join(tmpdir(), 'sponge-input-hints-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SAMPLES = 12;

type Build = (graph: OnnxGraph) => void;
type Attributes = Parameters<OnnxGraph['add']>[2];
type Shape = readonly (number | string)[];

/** Of the result: its type is all that ONNX Runtime insists on. */
interface Result {
  readonly type?: Datatype;
  readonly shape?: Shape | null;
  readonly attributes?: Attributes;
}

/** An operator all of whose inputs are the graph's. */
function operator(name: string, inputs: readonly (readonly [Datatype, Shape] | null)[], result: Result = {}): Build {
  return (graph) => {
    const names = inputs.map((input, i) => (input === null ? '' : graph.input(`input_${i}`, ...input)));
    const { type = 'FP32', shape = null, attributes = {} } = result;
    graph.output(graph.add(name, names, attributes, 'result'), type, shape);
  };
}

const X: readonly [Datatype, Shape] = ['FP32', ['batch', 3, 4]];
const IMAGE: readonly [Datatype, Shape] = ['FP32', [1, 1, 4, 4]];
const int64 = (...shape: Shape): readonly [Datatype, Shape] => ['INT64', shape];
const float = (...shape: Shape): readonly [Datatype, Shape] => ['FP32', shape];

/** Goes round as often as it is told, and adds its input each time. */
const loop: Build = (graph) => {
  const body = new OnnxGraph('loop.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('sum', 'FP32', [2]);
  body.output(body.add('Identity', ['proceed'], {}, 'again'), 'BOOL', []);
  body.output(body.add('Add', ['sum', 'x'], {}, 'next'), 'FP32', [2]);
  body.output(body.add('Identity', ['sum'], {}, 'seen'), 'FP32', [2]);
  graph.input('count', 'INT64', []);
  graph.input('proceed', 'BOOL', []);
  graph.input('x', 'FP32', [2]);
  graph.addMany('Loop', ['count', 'proceed', 'x'], { body: { graph: body } }, ['last', 'all']);
  graph.constant('first', 'INT64', [], BigInt64Array.of(0n));
  // Refused where the loop did not run.
  graph.output(graph.add('Gather', ['all', 'first'], {}, 'result'), 'FP32', [2]);
};

const sequence =
  (use: (graph: OnnxGraph, list: string) => string): Build =>
  (graph) => {
    const list = graph.add('SequenceConstruct', [graph.input('x', 'FP32', [2]), 'x']);
    graph.output(use(graph, list), 'FP32', null);
  };

const place = (graph: OnnxGraph): string => graph.input('place', 'INT64', []);

const embedding: Build = (graph) => {
  graph.input('ids', 'INT32', ['batch', 5]);
  graph.input('kinds', 'INT32', ['batch', 5]);
  for (const [name, rows] of Object.entries({ words: 7, places: 5, kinds_of: 1 })) {
    graph.constant(name, 'FP32', [rows, 4], new Float32Array(rows * 4));
  }
  for (const name of ['gamma', 'beta']) graph.constant(name, 'FP32', [4], new Float32Array(4));
  const inputs = ['ids', 'kinds', 'words', 'places', 'kinds_of', 'gamma', 'beta'];
  graph.addMany('com.microsoft.EmbedLayerNormalization', inputs, {}, ['result', '']);
  graph.output('result', 'FP32', null);
};

/** @param order of the operator's inputs behind the first */
const rotary =
  (name: string, shape: Shape, order: readonly string[]): Build =>
  (graph) => {
    graph.input('x', 'FP32', [1, 2, 6, 8]);
    graph.input('places', 'INT64', shape);
    for (const cache of ['cosines', 'sines']) graph.constant(cache, 'FP32', [6, 4], new Float32Array(24));
    graph.output(graph.add(name, ['x', ...order], {}, 'result'), 'FP32', null);
  };

/** `withoutHints`: what becomes of noise. What ends the process is not tried. */
type Case = [title: string, withoutHints: 'refused' | 'runs' | 'deadly', build: Build, opset?: number];

const CASES: readonly Case[] = [
  ['AffineGrid', 'refused', operator('AffineGrid', [float(2, 2, 3), int64(4)]), 20],
  ['ArrayFeatureExtractor', 'refused', operator('ai.onnx.ml.ArrayFeatureExtractor', [float(2, 1), int64(3)])],
  ['Bernoulli', 'runs', operator('Bernoulli', [float(8)])],
  [
    'BitShift',
    'runs',
    operator(
      'BitShift',
      [
        ['UINT8', [4]],
        ['UINT8', [4]],
      ],
      { type: 'UINT8', attributes: { direction: { text: 'LEFT' } } },
    ),
  ],
  ['Cast of text', 'refused', operator('Cast', [['BYTES', ['batch', 2]]], { attributes: { to: { int: 1 } } })],
  ['CenterCropPad', 'runs', operator('CenterCropPad', [float(3, 4), int64(2)]), 18],
  ['Col2Im', 'refused', operator('Col2Im', [float(1, 5, 6), int64(2), int64(2)]), 18],
  ['ConstantOfShape', 'runs', operator('ConstantOfShape', [int64(3)])],
  ['CumSum', 'refused', operator('CumSum', [float(4), int64()])],
  ['DequantizeLinear', 'runs', operator('DequantizeLinear', [['INT32', [4]], float(), ['INT32', []]])],
  ['DFT', 'refused', operator('DFT', [float(1, 8, 1), int64()])],
  [
    'Div',
    'refused',
    operator(
      'Div',
      [
        ['INT32', [16]],
        ['INT32', [16]],
      ],
      { type: 'INT32' },
    ),
  ],
  ['Dropout', 'refused', operator('Dropout', [X, float(), ['BOOL', []]])],
  ['EmbedLayerNormalization', 'refused', embedding],
  ['Expand', 'refused', operator('Expand', [X, int64(3)])],
  ['Gather', 'refused', operator('Gather', [float(1, 4), int64(5)])],
  [
    'GatherElements',
    'refused',
    operator('GatherElements', [float(3, 1), int64(3, 5)], { attributes: { axis: { int: 1 } } }),
  ],
  ['GatherND', 'refused', operator('GatherND', [float(3, 1), int64(4, 2)])],
  [
    'GRU',
    'runs',
    operator('GRU', [float(5, 2, 3), float(1, 6, 3), float(1, 6, 2), null, ['INT32', [2]]], {
      attributes: { hidden_size: { int: 2 } },
    }),
  ],
  ['HannWindow', 'runs', operator('HannWindow', [int64()])],
  ['Loop', 'refused', loop],
  [
    'LSTM',
    'runs',
    operator('LSTM', [float(5, 2, 3), float(1, 8, 3), float(1, 8, 2), null, ['INT32', [2]]], {
      attributes: { hidden_size: { int: 2 } },
    }),
  ],
  [
    'MaxRoiPool',
    'runs',
    operator('MaxRoiPool', [IMAGE, float(2, 5)], { attributes: { pooled_shape: { ints: [2, 2] } } }),
  ],
  [
    'MaxUnpool',
    'runs',
    operator('MaxUnpool', [float(1, 1, 2, 2), int64(1, 1, 2, 2)], {
      attributes: { kernel_shape: { ints: [2, 2] }, strides: { ints: [2, 2] } },
    }),
  ],
  [
    'MaxUnpool to a shape',
    'refused',
    operator('MaxUnpool', [float(1, 1, 2, 2), int64(1, 1, 2, 2), int64(4)], {
      shape: [1, 1, 5, 5],
      attributes: { kernel_shape: { ints: [2, 2] }, strides: { ints: [2, 2] } },
    }),
  ],
  ['MelWeightMatrix', 'refused', operator('MelWeightMatrix', [int64(), int64(), int64(), float(), float()])],
  [
    'Mod',
    'refused',
    operator(
      'Mod',
      [
        ['INT64', [16]],
        ['INT64', [16]],
      ],
      { type: 'INT64' },
    ),
  ],
  [
    'NonMaxSuppression',
    'refused',
    operator('NonMaxSuppression', [float(1, 6, 4), float(1, 1, 6), int64(1), float(1), float(1)], { type: 'INT64' }),
  ],
  ['OneHot', 'refused', operator('OneHot', [int64('batch', 3), int64(), float(2)])],
  ['Pad', 'runs', operator('Pad', [X, int64(6), float()])],
  ['Pad along some axes', 'runs', operator('Pad', [X, int64(4), float(), int64(2)]), 18],
  ['Range', 'refused', operator('Range', [int64(), int64(), int64()], { type: 'INT64' })],
  ['Range of fractions', 'runs', operator('Range', [float(), float(), float()])],
  ['ReduceMean', 'runs', operator('ReduceMean', [X, int64(2)]), 18],
  ['ReduceSum', 'runs', operator('ReduceSum', [X, int64(2)])],
  ['Reshape', 'refused', operator('Reshape', [X, int64(2)])],
  ['Reshape to a known shape', 'refused', operator('Reshape', [float(2, 6), int64(2)], { shape: [3, 4] })],
  [
    'Resize by scales',
    'refused',
    operator('Resize', [IMAGE, null, float(4)], { attributes: { mode: { text: 'linear' } } }),
  ],
  ['Resize by scales, as of old', 'refused', operator('Resize', [IMAGE, float(4)]), 10],
  [
    'Resize to sizes',
    'refused',
    operator('Resize', [float(1, 3, 4, 4), null, null, int64(4)], { attributes: { mode: { text: 'cubic' } } }),
  ],
  ['Resize to known sizes', 'refused', operator('Resize', [IMAGE, null, null, int64(4)], { shape: [1, 1, 7, 3] })],
  [
    'Resize of some axes',
    'refused',
    operator('Resize', [IMAGE, null, null, int64(2)], { attributes: { axes: { ints: [2, 3] } } }),
    18,
  ],
  ['ReverseSequence', 'runs', operator('ReverseSequence', [float(4, 2), int64(2)])],
  [
    'RNN',
    'runs',
    operator('RNN', [float(5, 2, 3), float(1, 2, 3), float(1, 2, 2), null, ['INT32', [2]]], {
      attributes: { hidden_size: { int: 2 } },
    }),
  ],
  ['RoiAlign', 'refused', operator('RoiAlign', [IMAGE, float(2, 4), int64(2)])],
  ['RotaryEmbedding', 'runs', rotary('RotaryEmbedding', [1, 6], ['cosines', 'sines', 'places']), 23],
  [
    'RotaryEmbedding of ONNX Runtime',
    'refused',
    rotary('com.microsoft.RotaryEmbedding', [1], ['places', 'cosines', 'sines']),
  ],
  ['ScatterElements', 'refused', operator('ScatterElements', [float(1, 4), int64(1, 4), float(1, 4)])],
  ['ScatterND', 'refused', operator('ScatterND', [float(1, 4), int64(2, 1), float(2, 4)])],
  ['SequenceAt', 'runs', sequence((graph, list) => graph.add('SequenceAt', [list, place(graph)]))],
  [
    'SequenceErase',
    'runs',
    sequence((graph, list) =>
      graph.add('ConcatFromSequence', [graph.add('SequenceErase', [list, place(graph)])], { axis: { int: 0 } }),
    ),
  ],
  [
    'SequenceInsert',
    'runs',
    sequence((graph, list) =>
      graph.add('ConcatFromSequence', [graph.add('SequenceInsert', [list, 'x', place(graph)])], { axis: { int: 0 } }),
    ),
  ],
  ['Slice', 'refused', operator('Slice', [X, int64(2), int64(2), int64(2), int64(2)])],
  ['SoftmaxCrossEntropyLoss', 'refused', operator('SoftmaxCrossEntropyLoss', [float(3, 1), int64(3)])],
  [
    'Split',
    'refused',
    (graph) => {
      graph.input('x', 'FP32', ['batch', 7]);
      graph.input('parts', 'INT64', [3]);
      graph.addMany('Split', ['x', 'parts'], { axis: { int: 1 } }, ['a', 'b', 'c']);
      graph.output('c', 'FP32', null);
    },
  ],
  [
    'SplitToSequence',
    'refused',
    (graph) => {
      const list = graph.add('SplitToSequence', [graph.input('x', 'FP32', [7]), graph.input('parts', 'INT64', [3])]);
      graph.output(graph.add('ConcatFromSequence', [list], { axis: { int: 0 } }), 'FP32', null);
    },
  ],
  ['Squeeze', 'refused', operator('Squeeze', [float(3, 1, 2, 1), int64(2)])],
  ['STFT', 'deadly', operator('STFT', [float(1, 40, 1), int64(), null, int64()])],
  ['STFT with a window', 'refused', operator('STFT', [float(1, 40, 1), int64(), float(8)])],
  ['Tile', 'runs', operator('Tile', [X, int64(3)])],
  ['Tile to a known shape', 'runs', operator('Tile', [float(2, 3), int64(2)], { shape: [4, 9] })],
  [
    'TopK',
    'runs',
    (graph) => {
      graph.addMany('TopK', [graph.input('x', ...X), graph.input('count', 'INT64', [1])], {}, ['largest', 'places']);
      graph.output('largest', 'FP32', null);
    },
  ],
  ['Unsqueeze', 'refused', operator('Unsqueeze', [X, int64(3)])],
  ['Upsample', 'refused', operator('Upsample', [IMAGE, float(4)]), 9],
];

async function runWith(
  title: string,
  build: Build,
  opset: number | undefined,
  hasHints: boolean,
): Promise<string | null> {
  const graph = new OnnxGraph('hinted');
  build(graph);
  const path = join(folder, `${title.replaceAll(/\W/g, '_')}.onnx`);
  writeFileSync(path, graph.toModel(opset));
  const { hints } = new GraphFile(path).report();
  const sessions = await ModelSessions.load(runtime, path, { threadCounts: [1], onTrouble: () => undefined });
  const { signature } = sessions.description;
  const samples = new NoiseSamples(signature, shapesFromSignature(signature)!, hasHints ? hints : []);
  try {
    for (let i = 0; i < SAMPLES; i++) await run(sessions, samples.at(i));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

async function run(sessions: ModelSessions, inputs: ReturnType<NoiseSamples['at']>): Promise<void> {
  const runOptions = runtime.api.pointer('createRunOptions');
  try {
    const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount: 1, runOptions });
    for (const output of outputs) if (isHeld(output)) runtime.values.release(output.value);
  } finally {
    runtime.api.call('releaseRunOptions', runOptions);
  }
}

describe('what is made up with the hints of a graph', () => {
  it.each<Case>(CASES)('is taken by ONNX Runtime: %s (noise: %s)', async (title, withoutHints, build, opset) => {
    expect(await runWith(title, build, opset, true)).toBeNull();
    if (withoutHints === 'deadly') return;
    const refusal = await runWith(title, build, opset, false);
    expect(refusal === null ? 'runs' : 'refused', refusal ?? '').toBe(withoutHints);
  });
});
