import {
  broadcast,
  Coupled,
  dimensionsOf,
  intAttribute,
  tellsBatchSize,
  valueOf,
  type FlowValue,
  type Sizes,
} from './batch-flow.js';
import { areEqual, fixed, isBatchFree, numberOf, ONE, product, quotient, type Dimension } from './dimension.js';
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

/** Keeps whole numbers; what is truncated may no longer be a size. */
const cast: OperatorRule = ({ node, inputs: [input] }) => {
  const isInteger = [INT32, INT64].includes(intAttribute(node, 'to', 0));
  if (isInteger || !tellsBatchSize(input!)) return [isInteger ? input! : { ...input!, sizes: null }];
  throw new Coupled('it computes with the number of rows');
};
const INT32 = 6;
const INT64 = 7;

/** The first tensor is quantised with the others, which belong to the model. */
const scaled: OperatorRule = ({ node, inputs: [input, ...parameters] }) => {
  if (parameters.some((parameter) => parameter !== null && parameter.batchAxis !== null)) {
    throw new Coupled('it is scaled by what depends on the batch');
  }
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
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

function arithmetic(combine: (a: Dimension | null, b: Dimension | null) => Dimension | null): OperatorRule {
  return ({ inputs }) => {
    const [a, b] = present(inputs);
    if (a?.sizes != null && b?.sizes != null) {
      const length = Math.max(a.sizes.length, b.sizes.length);
      const at = (sizes: Sizes, i: number): Dimension | null => sizes[sizes.length === 1 ? 0 : i] ?? null;
      const sizes = Array.from({ length }, (_, i) => combine(at(a.sizes!, i), at(b.sizes!, i)));
      const dimensions = (a.dimensions?.length ?? 0) >= (b.dimensions?.length ?? 0) ? a.dimensions : b.dimensions;
      return [{ dimensions, batchAxis: null, sizes }];
    }
    return [broadcast(present(inputs))];
  };
}

function sum(sign: 1 | -1): (a: Dimension | null, b: Dimension | null) => Dimension | null {
  return (a, b) => {
    if (a === null || b === null) return null;
    const [x, y] = [numberOf(a), numberOf(b)];
    if (x !== null && y !== null) return { factor: x + sign * y, batchPower: 0, symbols: [] };
    if (y === 0) return a;
    if (x === 0 && sign === 1) return b;
    // Not a product any more; still nothing of the batch is in it, if none was.
    return isBatchFree(a) && isBatchFree(b)
      ? { factor: 1, batchPower: 0, symbols: [`(${textOf(a)}${sign}${textOf(b)})`] }
      : null;
  };
}

/** A size is at least 0, so it is no negative number, which exporters use for "as it is". */
const equal: OperatorRule = arithmetic((a, b) => {
  if (a === null || b === null) return null;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return fixed(x === y ? 1 : 0);
  return (x ?? 0) < 0 || (y ?? 0) < 0 ? fixed(0) : null;
});

const where: OperatorRule = ({ inputs }) => {
  const [condition, a, b] = present(inputs);
  if (condition?.sizes == null || a?.sizes == null || b?.sizes == null) return [broadcast(present(inputs))];
  const length = Math.max(condition.sizes.length, a.sizes.length, b.sizes.length);
  const at = (sizes: Sizes, i: number): Dimension | null => sizes[sizes.length === 1 ? 0 : i] ?? null;
  const sizes = Array.from({ length }, (_, i) => {
    const chosen = at(condition.sizes!, i);
    const truth = chosen === null ? null : numberOf(chosen);
    return truth === null ? null : at(truth !== 0 ? a.sizes! : b.sizes!, i);
  });
  return [{ dimensions: [fixed(length)], batchAxis: null, sizes }];
};

const RULES = {
  Equal: equal,
  Where: where,
  Add: arithmetic(sum(1)),
  Sub: arithmetic(sum(-1)),
  Mul: arithmetic((a, b) => (a === null || b === null ? null : product([a, b]))),
  Div: arithmetic((a, b) => {
    if (a === null || b === null) return null;
    const exact = quotient(a, b);
    if (exact !== null) return exact;
    return isBatchFree(a) && isBatchFree(b)
      ? { factor: 1, batchPower: 0, symbols: [`(${textOf(a)}/${textOf(b)})`] }
      : null;
  }),
  Identity: passing,
  Cast: cast,
  CastLike: elementwise,
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

function isScalar({ dimensions }: FlowValue): boolean {
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
