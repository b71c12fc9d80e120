import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { anyLength, identity, slow, SLOW_WIDTH } from '../../research/load-models/tiny-graphs.js';
import type { Prng } from '../../src/scheduler/random/prng.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';

/*
 * Questions whose right answer the client works out by itself, to the last bit. No two of one model are alike, but those
 * without rows, so an answer that was meant for someone else, or a row of another's, is a wrong one.
 */

export interface Question {
  readonly model: string;
  readonly inputs: readonly Tensor[];
  /** The outputs that are asked for by name, in an order of its own; null for all, in the model's. */
  readonly outputNames: readonly string[] | null;
  readonly expected: readonly Tensor[];
  /** Kills the process that computes it: the only right answer is an error. */
  readonly isPoison: boolean;
}

/** Small steps: waiting and overload come from how many ask. */
const SLOW_STEPS = 60;
const LEAST_INT64 = -(2n ** 63n);
/** Beyond the socket buffers of both ends. */
const LARGE_ROW_LENGTH = 300_000;

/** By model: what it is, and the shapes to profile it with where it leaves any open. */
export const MODELS: Readonly<Record<string, { readonly graph: OnnxGraph; readonly settings?: string }>> = {
  affine: { graph: affine('affine', 'batch', 3n, 1n) },
  affine_alone: { graph: affine('affine_alone', 1, 5n, -2n) },
  slow: { graph: slow(SLOW_STEPS) },
  divide: { graph: divide() },
  strings: { graph: identity('BYTES') },
  any_length: { graph: anyLength(), settings: 'shape: { x: [1, 16] }\n' },
};

/** A model repository. */
export function writeModels(folder: string): void {
  for (const [name, { graph, settings }] of Object.entries(MODELS)) {
    mkdirSync(join(folder, name, '1'), { recursive: true });
    writeFileSync(join(folder, name, '1', 'model.onnx'), graph.toModel());
    if (settings !== undefined) writeFileSync(join(folder, name, 'model.yaml'), settings);
  }
}

/** `x` i64 [rows, 4] → `y` = factor·x + offset. */
function affine(name: string, rows: number | string, factor: bigint, offset: bigint): OnnxGraph {
  const graph = new OnnxGraph(name);
  const x = graph.input('x', 'INT64', [rows, 4]);
  graph.constant('factor', 'INT64', [1], BigInt64Array.of(factor));
  graph.constant('offset', 'INT64', [1], BigInt64Array.of(offset));
  graph.output(graph.add('Add', [graph.add('Mul', [x, 'factor']), 'offset'], {}, 'y'), 'INT64', [rows, 4]);
  return graph;
}

/**
 * `a`, `b` i64 [batch, 4] → `y` = a / (2·b + 1), towards 0. The divisor is never 0, also not of made-up inputs; the least integer
 * divided by −1 is a trap of the processor (SIGFPE) that ONNX Runtime does not keep from its process.
 */
function divide(): OnnxGraph {
  const graph = new OnnxGraph('divide');
  const a = graph.input('a', 'INT64', ['batch', 4]);
  const b = graph.input('b', 'INT64', ['batch', 4]);
  graph.constant('one', 'INT64', [1], BigInt64Array.of(1n));
  const divisor = graph.add('Add', [graph.add('Add', [b, b]), 'one']);
  graph.output(graph.add('Div', [a, divisor], {}, 'y'), 'INT64', ['batch', 4]);
  return graph;
}

export type QuestionKind = keyof typeof MAKERS;

const MAKERS = {
  affine: (n: number, prng: Prng) => integers('affine', n, drawRows(prng), 3n, 1n),
  affine_alone: (n: number) => integers('affine_alone', n, 1, 5n, -2n),
  slow: rolled,
  divide: divided,
  strings,
  any_length: (n: number, prng: Prng) => withSomeOutputs(doubled(n, 1 + prng.int(40)), prng),
  /** An answer too large for the buffers between server and client. */
  large: (n: number) => doubled(n, LARGE_ROW_LENGTH),
  poison,
} as const;

/** @param n distinct, ≥ 0, below 2^40 */
export function makeQuestion(kind: QuestionKind, n: number, prng: Prng): Question {
  return MAKERS[kind](n, prng);
}

/** Mostly one; none at all is legal too, and so are several, which share a batch with the rows of others. */
function drawRows(prng: Prng): number {
  const draw = prng.uniform();
  if (draw < 0.7) return 1;
  return draw < 0.72 ? 0 : 2 + prng.int(4);
}

function integers(model: string, n: number, rows: number, factor: bigint, offset: bigint): Question {
  const x = Array.from({ length: rows }, (_, row) => {
    const value = BigInt(n) + BigInt(row) * 2n ** 40n;
    return [value, -value, value * 7n + 1n, 2n ** 50n - value];
  }).flat();
  const y = x.map((each) => factor * each + offset);
  return question(model, [int64('x', x)], [int64('y', y)]);
}

/** Members of a batch may want different outputs. */
function withSomeOutputs(all: Question, prng: Prng): Question {
  const draw = prng.int(4);
  if (draw === 0) return all;
  const expected = draw === 1 ? all.expected.toReversed() : [all.expected[draw - 2]!];
  return { ...all, expected, outputNames: expected.map(({ name }) => name) };
}

/** A value at a place: the model moves it so many places to the right. */
function rolled(n: number): Question {
  // Whole numbers below 2^24 are exact in 32 bits.
  const value = 1 + (n % 2 ** 24);
  const place = n % SLOW_WIDTH;
  const row = new Float32Array(SLOW_WIDTH);
  row[place] = value;
  const moved = new Float32Array(SLOW_WIDTH);
  moved[(place + SLOW_STEPS) % SLOW_WIDTH] = value;
  return question('slow', [float('x', [1, SLOW_WIDTH], row)], [float('y', [1, SLOW_WIDTH], moved)]);
}

function divided(n: number, prng: Prng): Question {
  const a = [BigInt(n), BigInt(-n), 2n ** 52n - BigInt(n), BigInt(prng.uint32())];
  const b = a.map(() => BigInt(prng.int(1000) - 500));
  const y = a.map((each, i) => each / (2n * b[i]! + 1n));
  return question('divide', [int64('a', a), int64('b', b)], [int64('y', y)]);
}

function poison(n: number): Question {
  const a = [LEAST_INT64, BigInt(n), 0n, 0n];
  const b = [-1n, -1n, 0n, 0n];
  return { ...question('divide', [int64('a', a), int64('b', b)], []), isPoison: true };
}

function strings(n: number, prng: Prng): Question {
  const texts = [`${n}`, '', `ü\0"\\ ${n}`, 'x'.repeat(prng.int(300))].map((text) => Buffer.from(text));
  const data = Buffer.concat(
    texts.map((text) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return Buffer.concat([length, text]);
    }),
  );
  const tensor = (name: string): Tensor => ({ name, datatype: 'BYTES', shape: [1, 4], data });
  return question('strings', [tensor('x')], [tensor('y')]);
}

function doubled(n: number, length: number): Question {
  const row = new Float32Array(length);
  row[0] = n % 2 ** 22;
  row[length - 1]! += 1;
  const total = row.reduce((sum, value) => sum + value, 0);
  const outputs = [
    float(
      'doubled',
      [1, length],
      row.map((value) => 2 * value),
    ),
    float('total', [1, 1], Float32Array.of(total)),
  ];
  return question('any_length', [float('x', [1, length], row)], outputs);
}

function question(model: string, inputs: readonly Tensor[], expected: readonly Tensor[]): Question {
  return { model, inputs, outputNames: null, expected, isPoison: false };
}

/** [rows, 4] */
function int64(name: string, values: readonly bigint[]): Tensor {
  return { name, datatype: 'INT64', shape: [values.length / 4, 4], data: bytesOf(BigInt64Array.from(values)) };
}

function float(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return { name, datatype: 'FP32', shape, data: bytesOf(values) };
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Null where the answer is right; else one line that says how it is wrong. */
export function differenceFrom(expected: readonly Tensor[], outputs: readonly Tensor[]): string | null {
  const head = ({ name, datatype, shape }: Tensor): string => `${name} ${datatype} [${shape.join()}]`;
  const wanted = expected.map(head).join('; ');
  const got = outputs.map(head).join('; ');
  if (wanted !== got) return `outputs ${got}, expected ${wanted}`;
  for (const [i, { name, data }] of expected.entries()) {
    if (Buffer.compare(data, outputs[i]!.data) === 0) continue;
    const excerpt = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 32)).toString('hex');
    return `${name} is ${excerpt(outputs[i]!.data)}…, expected ${excerpt(data)}…`;
  }
  return null;
}
