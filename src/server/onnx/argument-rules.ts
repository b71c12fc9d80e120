import type { GraphScope, KnownShape } from './graph-scope.js';
import type { GraphNode } from './model-graph.js';
import { exactly, range, type NumberHint } from './value-needs.js';

/*
 * What an operator needs its arguments to be, by position, so that ONNX Runtime runs it: as ONNX specifies operators (onnx,
 * `docs/Operators.md`) and ONNX Runtime's CPU kernels check them. Arguments that take any value have no entry. Where the file
 * declares the shape of the result, arguments that decide it are chosen to give just that; otherwise small, so that the result
 * broadcasts and a run costs little.
 */

export interface ArgumentCall {
  readonly node: GraphNode;
  readonly opset: number;
  readonly scope: GraphScope;
}

/** Null: nothing is needed, or nothing is known. */
type ArgumentRule = NumberHint | null | ((call: ArgumentCall) => NumberHint | null);

/** Of the operator's inputs in order. */
type ArgumentRules = readonly ArgumentRule[];

const ZERO = exactly(0);
const ONE = exactly(1);
const FRACTION = range(0, 1);
/** 0, 1, 2…: distinct axes, which every tensor with so many has. */
const ASCENDING: NumberHint = { kind: 'count', first: 0, step: 1, last: null };
/** Beyond the end of every axis: slices end there. The largest 32-bit number, as exporters write. */
const SOME_END = range(1, 2 ** 31 - 1);
/** A window of no elements has no coefficients, and one of a single element divides by zero. */
const WINDOW_SIZE = 16;
/** ONNX Runtime refuses zero; −1 under the least integer ends the process (SIGFPE). */
const DIVISOR = range(1, 100);

// ---- what is known of a call ---------------------------------------------------------------------------------------

function shapeOf({ node, scope }: ArgumentCall, position: number): KnownShape | null {
  return scope.shapeOf(node.inputs[position] ?? '');
}

function resultShape({ node, scope }: ArgumentCall): KnownShape | null {
  return scope.shapeOf(node.outputs[0] ?? '');
}

/** Open ones taken as 1, which is what a sample has of them at least; null where it is not known, or there is none. */
function sizeAt(shape: KnownShape | null, axis: number): number | null {
  const size = shape?.at(axis);
  return size === undefined ? null : (size ?? 1);
}

/** One that the file fixes. */
function fixedAt(shape: KnownShape | null, axis: number): number | null {
  return shape?.at(axis) ?? null;
}

function intAttribute({ node }: ArgumentCall, name: string, otherwise: number): number {
  return node.attributes.get(name)?.int ?? otherwise;
}

function listOrNull(values: readonly number[]): NumberHint | null {
  return values.length === 0 ? null : { kind: 'list', values };
}

/** Product of all sizes, null while one is open. */
function elementsOf(shape: KnownShape | null): number | null {
  return shape === null || shape.includes(null) ? null : shape.reduce<number>((product, size) => product * size!, 1);
}

// ---- indices -------------------------------------------------------------------------------------------------------

/** Of elements along an axis of so many. */
function indexBelow(size: number | null): NumberHint | null {
  return size === null || size < 1 ? null : range(0, size - 1);
}

/** Into the input at `position`, along `axis` or the one that the operator's attribute names. */
function indexInto(position: number, axis: number | { readonly otherwise: number }): ArgumentRule {
  return (call) => {
    const along = typeof axis === 'number' ? axis : intAttribute(call, 'axis', axis.otherwise);
    return indexBelow(sizeAt(shapeOf(call, position), along));
  };
}

/** Tuples of indices into several axes: good for each of them. */
const tupleIntoFirst: ArgumentRule = (call) => {
  const sizes = shapeOf(call, 0)?.slice(intAttribute(call, 'batch_dims', 0)) ?? [];
  if (sizes.length === 0) return null;
  return indexBelow(sizes.reduce<number>((least, size) => Math.min(least, size ?? 1), Infinity));
};

/** Other indices are allowed, and give rows of nothing. */
const indexBelowDepth: ArgumentRule = ({ node, scope }) =>
  indexBelow(scope.numbersOf(node.inputs[1] ?? '')?.[0] ?? null);

/** Where `MaxUnpool` puts an element of its input: the result has at least as many. */
const placeInResult: ArgumentRule = (call) => indexBelow(elementsOf(shapeOf(call, 0)));

// ---- shapes --------------------------------------------------------------------------------------------------------

/** The declared result's, else one element. */
const shapeOfResult: ArgumentRule = (call) => listOrNull(resultShape(call)?.map((size) => size ?? 1) ?? []) ?? ONE;

/** The declared result's if the elements fill it, else all in the last axis. */
const reshaped: ArgumentRule = (call) => {
  const shape = resultShape(call) ?? [];
  const open = shape.indexOf(null);
  if (open >= 0) return { kind: 'list', values: shape.map((size, axis) => size ?? (axis === open ? -1 : 1)) };
  const isFilled = shape.length > 0 && elementsOf(shape) === elementsOf(shapeOf(call, 0));
  return isFilled
    ? { kind: 'list', values: shape.map((size) => size!) }
    : { kind: 'count', first: 1, step: 0, last: -1 };
};

const repeats: ArgumentRule = (call) => {
  const from = shapeOf(call, 0) ?? [];
  const to = resultShape(call) ?? [];
  const counts = from.map((size, axis) => (to[axis] ?? 1) / (size ?? 1));
  return counts.length > 0 && counts.every(isCount) ? { kind: 'list', values: counts } : ONE;
};

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1;
}

/** Axes without elements of their own: of size 1. */
const squeezable: ArgumentRule = (call) => {
  const shape = shapeOf(call, 0);
  if (shape === null) return ZERO;
  return listOrNull([...shape.keys()].filter((axis) => (shape[axis] ?? 1) === 1));
};

/** So many equal parts, the last one with what is left. */
function partsOf(total: number | null, partCount: number | null): NumberHint | null {
  if (total === null || partCount === null || partCount < 1) return null;
  const each = Math.floor(total / partCount);
  const last = total - each * (partCount - 1);
  return last === each ? exactly(each) : { kind: 'count', first: each, step: 0, last };
}

const splitParts: ArgumentRule = (call) =>
  partsOf(sizeAt(shapeOf(call, 0), intAttribute(call, 'axis', 0)), call.node.outputs.length);

/** One number: the size of every part. Several: a size each. */
const sequenceParts: ArgumentRule = (call) => {
  const listed = shapeOf(call, 1);
  if (listed === null) return null;
  if (listed.length === 0) return ONE;
  return partsOf(sizeAt(shapeOf(call, 0), intAttribute(call, 'axis', 0)), fixedAt(listed, 0));
};

/** What is scaled, axis by axis: what it has, and what the result is declared to have. */
function scaledAxes(call: ArgumentCall): readonly { readonly from: number; readonly to: number }[] {
  const shape = shapeOf(call, 0);
  const result = resultShape(call);
  const axes = call.node.attributes.get('axes')?.ints ?? [...(shape ?? result ?? []).keys()];
  return axes.map((axis) => {
    const from = sizeAt(shape, axis) ?? 1;
    return { from, to: fixedAt(result, axis) ?? from };
  });
}

const scaledSizes: ArgumentRule = (call) => listOrNull(scaledAxes(call).map(({ to }) => to)) ?? ONE;

/** Half an element more than is wanted, as sizes are rounded down; exactly 1 where nothing is scaled, which kernels look for. */
const scales = (call: ArgumentCall): NumberHint =>
  listOrNull(scaledAxes(call).map(({ from, to }) => (from === to || from < 1 ? 1 : (to + 0.5) / from))) ?? ONE;

/** Before version 11 the second argument; a region of interest since. */
const oldScales: ArgumentRule = (call) => (call.opset < 11 ? scales(call) : null);

/** Batch and channels as they are, two elements along each axis of an image. */
const gridSizes: ArgumentRule = (call) => {
  const rows = sizeAt(shapeOf(call, 0), 0);
  return rows === null ? null : { kind: 'list', values: [rows, 1, 2] };
};

// ---- counts --------------------------------------------------------------------------------------------------------

/** As many as the declared result has along an axis. */
function countOfResult(axis: number | { readonly otherwise: number }, otherwise: number): ArgumentRule {
  return (call) => {
    const along = typeof axis === 'number' ? axis : intAttribute(call, 'axis', axis.otherwise);
    return exactly(fixedAt(resultShape(call), along) ?? otherwise);
  };
}

/** Of sequences that are as long as their tensor, or shorter. */
function lengthWithin(axisOfTime: (call: ArgumentCall) => number): ArgumentRule {
  return (call) => range(1, Math.max(1, sizeAt(shapeOf(call, 0), axisOfTime(call)) ?? 1));
}

const recurrentLength = lengthWithin((call) => intAttribute(call, 'layout', 0));

/** The window's own length, else what the signal has room for. */
const frameLength: ArgumentRule = (call) => {
  const window = sizeAt(shapeOf(call, 2), 0);
  const signal = sizeAt(shapeOf(call, 0), 1) ?? WINDOW_SIZE;
  return exactly(Math.max(1, window ?? Math.min(WINDOW_SIZE, signal)));
};

const transformLength: ArgumentRule = (call) =>
  exactly(Math.max(1, sizeAt(shapeOf(call, 0), intAttribute(call, 'axis', 1)) ?? WINDOW_SIZE));

// ---- the table -----------------------------------------------------------------------------------------------------

const WINDOW: ArgumentRules = [countOfResult(0, WINDOW_SIZE)];
const REDUCE: ArgumentRules = [null, ASCENDING];
const RECURRENT: ArgumentRules = [null, null, null, null, recurrentLength];
const CLASSES: ArgumentRules = [null, indexInto(0, 1)];
const SCATTER: ArgumentRules = [null, indexInto(0, { otherwise: 0 })];

const ONNX_RULES: Readonly<Record<string, ArgumentRules>> = {
  Bernoulli: [FRACTION],
  BitShift: [null, range(0, 7)],
  BlackmanWindow: WINDOW,
  CenterCropPad: [null, ONE],
  Col2Im: [null, (call) => ({ kind: 'count', first: 1, step: 0, last: sizeAt(shapeOf(call, 0), 2) ?? 1 }), ONE],
  ConstantOfShape: [shapeOfResult],
  CumSum: [null, ZERO],
  // Zero points of 32-bit integers must be zero.
  DequantizeLinear: [null, null, ZERO],
  // Of [batch, signal, 1 or 2]: neither the batch nor the pair of a complex number.
  DFT: [null, transformLength, ONE],
  // Trained already: it passes its input on.
  Dropout: [null, range(0, 0.5), ZERO],
  Expand: [null, shapeOfResult],
  AffineGrid: [null, gridSizes],
  Gather: [null, indexInto(0, { otherwise: 0 })],
  GatherElements: [null, indexInto(0, { otherwise: 0 })],
  GatherND: [null, tupleIntoFirst],
  GRU: RECURRENT,
  HammingWindow: WINDOW,
  HannWindow: WINDOW,
  // Once: a body without any run gives nothing to what follows, and nobody knows how often is usual.
  Loop: [ONE, ONE],
  LSTM: RECURRENT,
  MaxRoiPool: [null, ZERO],
  MaxUnpool: [null, placeInResult, (call) => listOrNull(resultShape(call)?.map((size) => size ?? 1) ?? [])],
  MelWeightMatrix: [
    countOfResult(1, 8),
    (call) => exactly(2 * Math.max(1, (fixedAt(resultShape(call), 0) ?? 9) - 1)),
    // Samples a second; the bins lie between two frequencies, up to half of it.
    exactly(8192),
    ZERO,
    exactly(4096),
  ],
  NegativeLogLikelihoodLoss: CLASSES,
  NonMaxSuppression: [null, null, range(1, 16), FRACTION, FRACTION],
  OneHot: [indexBelowDepth, countOfResult({ otherwise: -1 }, 1)],
  Pad: [null, ZERO, null, ASCENDING],
  Range: [ZERO, countOfResult(0, 1), ONE],
  ReduceL1: REDUCE,
  ReduceL2: REDUCE,
  ReduceLogSum: REDUCE,
  ReduceLogSumExp: REDUCE,
  ReduceMax: REDUCE,
  ReduceMean: REDUCE,
  ReduceMin: REDUCE,
  ReduceProd: REDUCE,
  ReduceSum: REDUCE,
  ReduceSumSquare: REDUCE,
  Reshape: [null, reshaped],
  Resize: [null, oldScales, scales, scaledSizes],
  ReverseSequence: [null, lengthWithin((call) => intAttribute(call, 'time_axis', 0))],
  RNN: RECURRENT,
  // Corners one after another, so that the second is beyond the first: an area of 2 × 2.
  RoiAlign: [null, ASCENDING, indexInto(0, 0)],
  RotaryEmbedding: [null, null, null, ZERO],
  Scatter: SCATTER,
  ScatterElements: SCATTER,
  ScatterND: [null, tupleIntoFirst],
  SequenceAt: [null, ZERO],
  SequenceErase: [null, ZERO],
  SequenceInsert: [null, null, ZERO],
  Slice: [null, ZERO, SOME_END, ASCENDING, ONE],
  SoftmaxCrossEntropyLoss: CLASSES,
  Split: [null, splitParts],
  SplitToSequence: [null, sequenceParts],
  Squeeze: [null, squeezable],
  // Frames follow each other at every element.
  STFT: [null, ONE, null, frameLength],
  TensorScatter: [null, null, ZERO],
  Tile: [null, repeats],
  TopK: [null, countOfResult({ otherwise: -1 }, 1)],
  Unsqueeze: [null, ASCENDING],
  Upsample: [null, scales],
};

const TABULAR_RULES: Readonly<Record<string, ArgumentRules>> = {
  ArrayFeatureExtractor: [null, indexInto(0, -1)],
};

const EMBEDDING: ArgumentRules = [
  indexInto(2, 0),
  indexInto(4, 0),
  ...Array.from({ length: 6 }, () => null),
  indexInto(3, 0),
];

const MICROSOFT_RULES: Readonly<Record<string, ArgumentRules>> = {
  EmbedLayerNormalization: EMBEDDING,
  RotaryEmbedding: [null, ZERO],
};

const INTEGER_RULES: Readonly<Record<string, ArgumentRules>> = {
  Div: [null, DIVISOR],
  Mod: [null, DIVISOR],
};

type RulesByDomain = ReadonlyMap<string, ReadonlyMap<string, ArgumentRules>>;

/** By domain and operator: what is needed of any number, and what of whole ones only. */
export const ARGUMENT_RULES: Readonly<Record<'number' | 'integer', RulesByDomain>> = {
  number: new Map([
    ['', new Map(Object.entries(ONNX_RULES))],
    ['ai.onnx.ml', new Map(Object.entries(TABULAR_RULES))],
    ['com.microsoft', new Map(Object.entries(MICROSOFT_RULES))],
  ]),
  integer: new Map([['', new Map(Object.entries(INTEGER_RULES))]]),
};
