import {
  broadcast,
  Coupled,
  dimensionsOf,
  freshNumber,
  intAttribute,
  tellsBatchSize,
  Unknown,
  valueOf,
  type FlowValue,
  type Sizes,
} from './batch-flow.js';
import { areEqual, fixed, isBatchFree, isSize, numberOf, ONE, product, quotient, type Dimension } from './dimension.js';
import type { OperatorCall, OperatorRule } from './operator-rule.js';

/*
 * Operators that make each element of the result from the elements at its place. Whole numbers that are sizes are followed
 * through the arithmetic that exporters do with them.
 */

const UNARY =
  'Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish ' +
  'IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt ' +
  'Swish Tan Tanh ThresholdedRelu';
const BINARY =
  'And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Or PRelu Pow ' +
  'Sum Xor';

const elementwise: OperatorRule = ({ inputs }) => [broadcast(present(inputs))];

/** Its result has the content of its first input. */
const passing: OperatorRule = ({ inputs: [input] }) => [input!];

/** Keeps whole numbers, and whether they are 0; what is truncated may no longer be a size. */
const cast: OperatorRule = ({ node, inputs: [input] }) => {
  const to = intAttribute(node, 'to', 0);
  if (to === INT32 || to === INT64) return [input!];
  refuseSizes(input!);
  return [{ ...input!, sizes: to === BOOL ? (input!.sizes?.map((each) => truthOf(each!)) ?? null) : null }];
};
const INT32 = 6;
const INT64 = 7;
const BOOL = 9;

function truthOf(size: Dimension): Dimension {
  const number = numberOf(size);
  return number === null ? freshNumber() : fixed(number === 0 ? 0 : 1);
}

/** Of the second it takes only the type. */
const castLike: OperatorRule = ({ inputs: [input] }) => {
  refuseSizes(input!);
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

/** The first tensor is quantised with the others, which belong to the model. */
const scaled: OperatorRule = ({ node, inputs: [input, ...parameters] }) => {
  if (parameters.some((parameter) => parameter !== null && parameter.batchAxis !== null)) {
    throw new Coupled('it is scaled by what depends on the batch');
  }
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
  if (intAttribute(node, 'block_size', 0) !== 0)
    throw new Unknown('which block each row has its scales in is not known');
  const dimensions = dimensionsOf(input!);
  const isPerAxis = parameters.some((parameter) => parameter !== null && !isScalar(parameter));
  const axis = intAttribute(node, 'axis', 1);
  if (isPerAxis && (axis < 0 ? axis + dimensions.length : axis) === input!.batchAxis) {
    throw new Coupled('each row has a scale of its own');
  }
  return [valueOf(dimensions, input!.batchAxis)];
};

/** Dropout as it is when a model serves: nothing. */
const dropout: OperatorRule = ({ inputs: [input, , isTraining] }) => {
  if (isTraining !== undefined && isTraining !== null) throw new Coupled('it may drop at random');
  return [input!, { ...input!, sizes: null }];
};

type Combine = (...operands: readonly (Dimension | null)[]) => Dimension | null;

/** Lists of sizes are combined one by one; whatever else meets is computed with. */
function arithmetic(combine: Combine): OperatorRule {
  return ({ inputs }) => {
    const values = present(inputs);
    const lists = values.flatMap(({ sizes }) => (sizes === null ? [] : [sizes]));
    if (lists.length < values.length) return [broadcast(values)];
    const length = lists.find((list) => list.length !== 1)?.length ?? 1;
    const at = (list: Sizes, i: number): Dimension | null => list[list.length === 1 ? 0 : i] ?? null;
    const sizes = Array.from({ length }, (_, i) => combine(...lists.map((list) => at(list, i))));
    const isNumber = values.every(({ dimensions }) => dimensions?.length === 0);
    return [{ dimensions: isNumber ? [] : [fixed(length)], batchAxis: null, sizes }];
  };
}

function sum(sign: 1 | -1): Combine {
  return (a = null, b = null) => {
    if (a === null || b === null) return null;
    const [x, y] = [numberOf(a), numberOf(b)];
    if (x !== null && y !== null) return { factor: x + sign * y, batchPower: 0, symbols: [] };
    if (y === 0) return a;
    if (x === 0 && sign === 1) return b;
    // Not a product any more; still nothing of the batch is in it, if none was.
    return isBatchFree(a) && isBatchFree(b)
      ? { factor: 1, batchPower: 0, symbols: [`(${textOf(a)}${sign === 1 ? '+' : '−'}${textOf(b)})`] }
      : null;
  };
}

/** A size is at least 0, so it is no negative number, which exporters use for "as it is". */
const equal: OperatorRule = arithmetic((a = null, b = null) => {
  if (a === null || b === null) return null;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return fixed(x === y ? 1 : 0);
  if ((isSize(a) && (y ?? 0) < 0) || (isSize(b) && (x ?? 0) < 0)) return fixed(0);
  return isBatchFree(a) && isBatchFree(b) ? freshNumber() : null;
});

const where: OperatorRule = arithmetic((condition = null, a = null, b = null) => {
  const truth = condition === null ? null : numberOf(condition);
  if (truth !== null) return truth === 0 ? b : a;
  return [condition, a, b].every((each) => each !== null && isBatchFree(each)) ? freshNumber() : null;
});

const RULES = {
  Equal: equal,
  Where: where,
  Add: arithmetic(sum(1)),
  Sub: arithmetic(sum(-1)),
  Mul: arithmetic((a = null, b = null) => (a === null || b === null ? null : product([a, b]))),
  Div: arithmetic((a = null, b = null) => {
    if (a === null || b === null) return null;
    const exact = quotient(a, b);
    if (exact !== null) return exact;
    return isBatchFree(a) && isBatchFree(b)
      ? { factor: 1, batchPower: 0, symbols: [`(${textOf(a)}/${textOf(b)})`] }
      : null;
  }),
  Identity: passing,
  Cast: cast,
  CastLike: castLike,
  Dropout: dropout,
  QuantizeLinear: scaled,
  DequantizeLinear: scaled,
} satisfies Record<string, OperatorRule>;

export const ELEMENTWISE_RULES: ReadonlyMap<string, OperatorRule> = new Map([
  ...[UNARY, BINARY].flatMap((names) => names.split(' ')).map((name): [string, OperatorRule] => [name, elementwise]),
  ...Object.entries(RULES),
]);

export function present(inputs: OperatorCall['inputs']): FlowValue[] {
  return inputs.filter((input) => input !== null);
}

/** @throws Coupled where a list of sizes that depend on the batch is computed with as numbers */
export function refuseSizes(value: FlowValue): void {
  if (tellsBatchSize(value)) throw new Coupled('it computes with the number of rows');
}

export function isScalar({ dimensions }: FlowValue): boolean {
  return dimensions !== null && dimensions.every((size) => areEqual(size, ONE));
}

function textOf({ factor, symbols }: Dimension): string {
  return [factor, ...symbols].join('·');
}

/** Weights and the like, which have to be the model's own: of the rows they would mix them. */
export function ownedByModel(parameters: readonly (FlowValue | null | undefined)[]): void {
  for (const parameter of parameters) {
    if (parameter == null) continue;
    if (parameter.batchAxis !== null) throw new Coupled('its weights depend on the rows');
    refuseSizes(parameter);
  }
}
