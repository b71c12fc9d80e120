import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { analyseBatching } from '../../../src/server/onnx/batch-analysis.js';
import { readModelGraph } from '../../../src/server/onnx/model-graph.js';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { ModelSessions } from '../../../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../../../src/server/onnx-runtime/runtime.js';
import { bytesOfHeld, isHeld } from '../../../src/server/onnx-runtime/values.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import { Prng } from '../../../src/scheduler/random/prng.js';

/*
 * Never "independent" where a batch differs from its rows alone: random graphs, judged by ONNX Runtime itself.
 * SPONGE_GRAPHS=20000 looks longer; the seed is the number of the graph.
 */

const GRAPHS = Number(process.env['SPONGE_GRAPHS'] ?? 500);
/** Of one graph that was called independent. */
const BATCHES = Number(process.env['SPONGE_BATCHES'] ?? 12);
const CHANNELS = 3;
const LENGTH = 4;
const TO_THE_END = 2 ** 31 - 1;

const runtime = new Runtime();
const folder = mkdtempSync(join(tmpdir(), 'sponge-batch-analysis-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Drawn {
  readonly graph: OnnxGraph;
  readonly operators: readonly string[];
}

/** A chain with branches: every operator takes what an earlier one gave, and some take two. */
function draw(seed: number): Drawn {
  const random = new Prng(seed);
  const graph = new OnnxGraph(`drawn_${seed}`);
  const inputs = random.int(4) === 0 ? ['a', 'b'] : ['a'];
  const made = inputs.map((name) =>
    graph.input(name, 'FP32', ['batch', CHANNELS, random.int(3) === 0 ? 'length' : LENGTH]),
  );
  const operators: string[] = [];
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const latest = (): string => (random.int(4) === 0 ? pick(made) : made.at(-1)!);
  let constants = 0;
  const integers = (...values: readonly number[]): string =>
    graph.constant(`k${constants++}`, 'INT64', [values.length], BigInt64Array.from(values, BigInt));
  const scalar = (value: number): string =>
    graph.constant(`k${constants++}`, 'INT64', [], BigInt64Array.of(BigInt(value)));
  const floats = (shape: readonly number[]): string => {
    const count = shape.reduce((a, b) => a * b, 1);
    return graph.constant(
      `k${constants++}`,
      'FP32',
      shape,
      Float32Array.from({ length: count }, () => 2 * random.uniform() - 1),
    );
  };
  const axis = (): number => random.int(5) - 2;
  const add = (operator: string, from: readonly string[], attributes: Parameters<OnnxGraph['add']>[2] = {}): string => {
    operators.push(operator);
    const name = graph.add(operator, [...from], attributes);
    made.push(name);
    return name;
  };
  const addMany = (
    operator: string,
    from: readonly string[],
    attributes: Record<string, { int: number }>,
    count: number,
  ): void => {
    operators.push(operator);
    const names = Array.from({ length: count }, (_, i) => `${operator}_${made.length}_${i}`);
    graph.addMany(operator, from, attributes, names);
    made.push(names[0]!);
  };
  const sizeOf = (value: string): string => graph.add('Shape', [value]);
  const oneSizeOf = (value: string, at: string): string =>
    graph.add('Gather', [sizeOf(value), at], { axis: { int: 0 } });
  const isSize = (value: string): string =>
    graph.add('Equal', [oneSizeOf(value, scalar(random.int(2))), scalar(1 + random.int(CHANNELS))]);
  const branch = (operator: string, value: string): { graph: OnnxGraph } => {
    const inner = new OnnxGraph(`branch_${constants++}`);
    inner.output(inner.add(operator, [value]), 'FP32', null);
    return { graph: inner };
  };
  const steps: readonly (() => void)[] = [
    () => add(pick(['Relu', 'Tanh', 'Sigmoid', 'Neg', 'Abs', 'Exp', 'Identity', 'Softplus']), [latest()]),
    () => add(pick(['Add', 'Sub', 'Mul', 'Max', 'Min']), [latest(), latest()]),
    () => add(pick(['Add', 'Mul']), [latest(), floats(pick([[1], [LENGTH], [CHANNELS, 1], [CHANNELS, LENGTH], [2, 1, 1], [1, CHANNELS, LENGTH], []]))]),
    () => add('Softmax', [latest()], { axis: { int: axis() } }),
    () => add('LogSoftmax', [latest()], { axis: { int: axis() } }),
    () => add(pick(['ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceL2']), [latest()], { axes: { ints: [axis()] }, keepdims: { int: random.int(2) } }),
    () => add('ReduceSum', [latest(), integers(axis())], { keepdims: { int: random.int(2) } }),
    () => add('ReduceMax', [latest()], { keepdims: { int: random.int(2) } }),
    () => add('Transpose', [latest()], { perm: { ints: pick([[0, 2, 1], [1, 0, 2], [2, 1, 0], [2, 0, 1], [1, 0], [0, 1], [0, 2, 1, 3], [0, 3, 1, 2]]) } }),
    () => add('Reshape', [latest(), integers(...pick([[0, -1], [-1], [-1, LENGTH], [-1, CHANNELS * LENGTH], [0, LENGTH, CHANNELS], [-1, CHANNELS, LENGTH], [0, 0, 2, 2], [CHANNELS, -1], [1, -1], [0, 1, -1]]))]),
    () => add('Flatten', [latest()], { axis: { int: random.int(4) } }),
    () => add('Unsqueeze', [latest(), integers(axis())]),
    () => add('Squeeze', [latest(), integers(axis())]),
    () => add('Squeeze', [latest()]),
    () => add('Concat', [latest(), latest()], { axis: { int: axis() } }),
    () => add('Concat', [latest(), floats(pick([[1, CHANNELS, LENGTH], [1, 1]]))], { axis: { int: axis() } }),
    // Never empty: some kernels of ONNX Runtime leave memory as it was, or crash, where nothing is summed.
    () => add('Slice', [latest(), ...pick([[0, 1], [0, 2], [0, TO_THE_END], [-1, TO_THE_END], [-2, TO_THE_END]]).map((bound) => integers(bound)), integers(axis())]),
    () => add('Gather', [latest(), random.int(2) === 0 ? scalar(random.int(3)) : integers(0, random.int(2))], { axis: { int: axis() } }),
    () => add('MatMul', [latest(), floats(pick([[LENGTH, 5], [CHANNELS, 2], [LENGTH], [5, LENGTH]]))]),
    () => add('MatMul', [floats([2, CHANNELS]), latest()]),
    () => add('MatMul', [latest(), graph.add('Transpose', [latest()], { perm: { ints: [0, 2, 1] } })]),
    () => add('Gemm', [latest(), floats([CHANNELS * LENGTH, 3]), floats(pick([[3], [1, 3], [2, 3]]))]),
    () => add('CumSum', [latest(), scalar(axis())]),
    () => addMany('TopK', [latest(), integers(1 + random.int(2))], { axis: { int: axis() } }, 2),
    () => add('Tile', [latest(), integers(...pick([[1, 1, 2], [2, 1, 1], [1, 2], [1, 1, 1]]))]),
    () => add('LayerNormalization', [latest(), floats([LENGTH])], { axis: { int: pick([-1, 2, 1, 0]) } }),
    () => add('LayerNormalization', [latest(), floats([1])], { axis: { int: axis() } }),
    () => add('InstanceNormalization', [made[0]!, floats([CHANNELS]), floats([CHANNELS])]),
    () => add('LpNormalization', [latest()], { axis: { int: axis() }, p: { int: 2 } }),
    () => add('Conv', [latest(), floats([2, CHANNELS, 2])], { pads: { ints: [1, 0] } }),
    () => add('AveragePool', [latest()], { kernel_shape: { ints: [2] }, pads: { ints: [1, 0] } }),
    () => add('GlobalMaxPool', [latest()]),
    () => add('Expand', [latest(), integers(...pick([[1, CHANNELS, LENGTH], [2, 1, 1], [1, 1]]))]),
    () => add('Expand', [floats(pick([[1, CHANNELS, LENGTH], [CHANNELS, 1], [1]])), sizeOf(latest())]),
    () => add('Reshape', [latest(), graph.add('Concat', [graph.add('Gather', [sizeOf(latest()), integers(random.int(2))], { axis: { int: 0 } }), integers(-1)], { axis: { int: 0 } })]),
    () => add('Reshape', [latest(), graph.add('Concat', [integers(-1), graph.add('Gather', [sizeOf(latest()), integers(pick([1, -1]))], { axis: { int: 0 } })], { axis: { int: 0 } })]),
    () => add('Reshape', [latest(), sizeOf(latest())]),
    () => add('Mul', [latest(), graph.add('Cast', [graph.add('Gather', [sizeOf(latest()), integers(random.int(2))], { axis: { int: 0 } })], { to: { int: 1 } })]),
    () => add('ConstantOfShape', [sizeOf(latest())]),
    () => add('Trilu', [latest()], { upper: { int: random.int(2) } }),
    () => add('Pad', [latest(), integers(...pick([[0, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0, 1, 0, 1]]))]),
    () => add('Where', [graph.add('Greater', [latest(), floats([1])]), latest(), latest()]),
    () => addMany('Split', [latest()], { axis: { int: axis() } }, 2),
    () => {
      addMany('DynamicQuantizeLinear', [latest()], {}, 3);
      made.push(graph.add('Cast', [made.pop()!], { to: { int: 1 } }));
    },
    () => add('Mul', [latest(), graph.add('ReduceMean', [latest()], { keepdims: { int: 1 } })]),
    () => add('Mul', [latest(), graph.add('Cast', [graph.add(pick(['Reshape', 'Expand', 'Tile']), [pick([sizeOf(latest()), oneSizeOf(latest(), integers(random.int(2)))]), integers(1, 1)])], { to: { int: 1 } })]),
    () => add('Reshape', [latest(), graph.add('Concat', [graph.add('ReduceProd', [graph.add('Gather', [sizeOf(latest()), integers(0, pick([1, -1]))])]), integers(-1)], { axis: { int: 0 } })]),
    () => add('Gather', [latest(), graph.add(pick(['Add', 'Mul', 'Where']), [scalar(1), pick([scalar, integers])(1), integers(...pick([[0], [0, 1]]))])], { axis: { int: axis() } }),
    () => add('Gather', [latest(), graph.add('Where', [isSize(latest()), scalar(0), scalar(1)])], { axis: { int: axis() } }),
    () => add('GatherElements', [latest(), graph.add('Cast', [graph.add('Greater', [latest(), floats([1])])], { to: { int: 7 } })], { axis: { int: axis() } }),
    () => {
      const part = pick([integers(1), oneSizeOf(latest(), integers(random.int(2)))]);
      const whole = pick([integers(LENGTH), oneSizeOf(latest(), integers(2))]);
      addMany('Split', [latest(), graph.add('Concat', [part, graph.add('Sub', [whole, part])], { axis: { int: 0 } })], { axis: { int: axis() } }, 2);
    },
    () => add('Resize', [latest(), '', '', graph.add(pick(['Add', 'Mul']), [sizeOf(latest()), pick([integers(0, 0, 1), integers(1, 1, 2), sizeOf(latest())])])]),
    () => add('Slice', [latest(), integers(0), oneSizeOf(latest(), integers(random.int(3))), integers(axis())]),
    () => add('CastLike', [latest(), latest()]),
    () => {
      const value = latest();
      add('If', [isSize(latest())], { then_branch: branch(pick(['Relu', 'Transpose', 'Softmax', 'GlobalMaxPool']), value), else_branch: branch('Abs', value) });
    },
  ]; // prettier-ignore
  const count = 1 + random.int(6);
  for (let i = 0; i < count; i++) pick(steps)();
  // Of whatever rank it turned out to have.
  graph.output(made.at(-1)!, 'FP32', null);
  return { graph, operators };
}

async function load(graph: OnnxGraph): Promise<ModelSessions | null> {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, graph.toModel());
  return ModelSessions.load(runtime, path, { threadCounts: [1], onTrouble: () => undefined }).catch(() => null);
}

/** Null where ONNX Runtime refuses the input. */
async function run(
  sessions: ModelSessions,
  inputs: readonly Tensor[],
): Promise<{ shape: readonly number[]; values: Float32Array } | null> {
  const runOptions = runtime.api.pointer('createRunOptions');
  try {
    const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount: 1, runOptions });
    const [output] = outputs;
    if (output === undefined || !isHeld(output)) return null;
    const values = new Float32Array(bytesOfHeld(output).slice().buffer);
    runtime.values.release(output.value);
    return { shape: output.shape, values };
  } catch {
    return null;
  } finally {
    runtime.api.call('releaseRunOptions', runOptions);
  }
}

/** Rows that are nothing alike: scale, sign, offset, zeros. */
function rowOf(random: Prng, length: number): Float32Array {
  const scale = 10 ** (random.int(7) - 4) * (random.int(2) === 0 ? 1 : -1);
  const offset = random.int(3) === 0 ? 5 * scale : 0;
  const isZero = random.int(6) === 0;
  return Float32Array.from({ length }, () => (isZero ? 0 : offset + scale * (2 * random.uniform() - 1)));
}

function tensorsOf(names: readonly string[], rows: readonly (readonly Float32Array[])[], length: number): Tensor[] {
  return names.map((name, input) => {
    const data = Buffer.concat(rows.map((row) => Buffer.from(row[input]!.buffer)));
    return { name, datatype: 'FP32', shape: [rows.length, CHANNELS, length], data: new Uint8Array(data) };
  });
}

/**
 * Sums in another order move the last digits of the largest number that is summed, and what normalises near-equal numbers makes
 * more of it. How much shows in a batch whose rows are all this one: mates that are alike can move it by rounding alone.
 */
function areAlike(alone: Float32Array, together: Float32Array, amongItself: Float32Array): boolean {
  const finite = (value: number): number => (Number.isFinite(value) ? Math.abs(value) : 0);
  const largest = alone.reduce((most, value) => Math.max(most, finite(value)), 0);
  const rounding = alone.reduce((most, value, i) => Math.max(most, finite(value - amongItself[i]!)), 0);
  // Rows that are coupled are not what they are alone among their copies either: that is no rounding.
  const tolerance = 1e-3 * largest + Math.min(20 * rounding, 3e-2 * largest);
  return alone.every((value, i) => !Number.isFinite(value) || Math.abs(value - together[i]!) <= tolerance);
}

describe('random graphs', () => {
  it(`are called independent only where batches are what their rows are alone (${GRAPHS} graphs)`, async () => {
    let independent = 0;
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= GRAPHS; seed++) {
      const { graph, operators } = draw(seed);
      const verdict = analyseBatching(readModelGraph(graph.toModel()));
      if (verdict.kind !== 'independent') {
        expect(verdict.node).not.toBe('');
        continue;
      }
      const sessions = await load(graph);
      if (sessions === null) continue;
      independent++;
      for (const operator of operators) seen.set(operator, (seen.get(operator) ?? 0) + 1);
      const names = sessions.description.signature.inputs.map(({ name }) => name);
      const random = new Prng(seed);
      for (let batch = 0; batch < BATCHES; batch++) {
        const isOpen = sessions.description.signature.inputs[0]!.shape![2] === -1;
        const length = isOpen ? 2 + random.int(4) : LENGTH;
        const rows = Array.from({ length: 2 + random.int(3) }, () => names.map(() => rowOf(random, CHANNELS * length)));
        const together = await run(sessions, tensorsOf(names, rows, length));
        const alone: Awaited<ReturnType<typeof run>>[] = [];
        for (const row of rows) alone.push(await run(sessions, tensorsOf(names, [row], length)));
        // What is refused is tried alone: no wrong answer.
        if (together === null || alone.includes(null)) continue;
        const context = `graph ${seed}: ${operators.join(' ')}, batch of ${rows.length}, length ${length}`;
        expect(together.shape[0], context).toBe(rows.length);
        const perRow = together.values.length / rows.length;
        for (const [row, single] of alone.entries()) {
          expect(single!.shape, context).toEqual([1, ...together.shape.slice(1)]);
          const like = await run(
            sessions,
            tensorsOf(
              names,
              rows.map(() => rows[row]!),
              length,
            ),
          );
          const amongItself = like!.values.subarray(row * perRow, (row + 1) * perRow);
          const part = together.values.subarray(row * perRow, (row + 1) * perRow);
          expect(
            areAlike(single!.values, part, amongItself),
            `${context}, row ${row}: ${single!.values.join()} became ${part.join()}`,
          ).toBe(true);
        }
      }
    }
    // The test looks at something: a fair part is proven, with most operators.
    expect(independent).toBeGreaterThan(GRAPHS / 20);
    expect(seen.size).toBeGreaterThan(20);
    console.log(
      `${independent} of ${GRAPHS} independent, with ${seen.size} operators: ${[...seen].map((each) => each.join(' ')).join(', ')}`,
    );
  }, 600_000);
});
