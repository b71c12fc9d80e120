import { shapeClass, type ShapeClass } from '../../scheduler/domain/request.js';
import {
  elementCount,
  fitsDeclared,
  requiredInputs,
  shapeText,
  type ModelSignature,
  type Tensor,
  type TensorSpec,
} from '../../scheduler/domain/tensor.js';
import type { InputShapes } from '../workers/samples.js';

type Shaped = Pick<Tensor, 'name' | 'datatype' | 'shape'>;

/**
 * The shape class of a request. The first axis of a batchable model's inputs counts its rows, and is not in the class's key of one
 * row; where inputs disagree about it, or it is empty, the request is one row of a class of its own.
 */
export function shapeClassOf(inputs: readonly Shaped[], isBatchable: boolean): ShapeClass {
  const rows = isBatchable ? rowCountOf(inputs) : null;
  // As the parts sort, so that keys are those of profiles stored long ago.
  const inOrder = [...inputs].sort((a, b) => (`${a.name}:` < `${b.name}:` ? -1 : 1));
  const parts: string[] = [];
  const axisSizes: number[] = [];
  let elements = 0;
  for (const { name, datatype, shape } of inOrder) {
    const rowShape = rows === null ? shape : shape.slice(1);
    parts.push(`${name}:${datatype}[${rowShape.join(',')}]`);
    axisSizes.push(...rowShape);
    elements += elementCount(rowShape);
  }
  return shapeClass(parts.join(' '), elements, axisSizes, rows ?? 1);
}

/** Null where the inputs do not say. */
function rowCountOf(inputs: readonly Shaped[]): number | null {
  const rows = inputs[0]?.shape[0] ?? 0;
  return rows >= 1 && inputs.every(({ shape }) => shape[0] === rows) ? rows : null;
}

/**
 * Whether a request of a batchable model may share no batch: an input that has a value of its own is not cut into rows, so
 * whoever gives it another would give it to its batch-mates too; and what a model makes of no rows is its own affair.
 */
export function mustRunAlone(signature: ModelSignature, inputs: readonly Shaped[]): boolean {
  const required = requiredInputs(signature);
  return inputs.length > required.length || inputs.some(({ shape }) => shape[0] === 0);
}

/** The class that is profiled. */
export function shapeClassOfShapes(signature: ModelSignature, shapes: InputShapes, isBatchable: boolean): ShapeClass {
  const inputs = signature.inputs
    .filter(({ name, isOptional }) => isOptional !== true || name in shapes)
    .map(({ name, datatype }) => ({ name, datatype, shape: shapes[name] ?? [] }));
  return shapeClassOf(inputs, isBatchable);
}

/**
 * One request's shapes where the model leaves nothing open but the first axis of its required inputs; null otherwise, and
 * the first request has to tell.
 * @param profiledTokens of a model of text: how long its second axes are, `[text, token]`
 */
export function shapesFromSignature(
  signature: ModelSignature,
  { profiledTokens: tokens }: { readonly profiledTokens?: number } = {},
): InputShapes | null {
  const shapes: Record<string, readonly number[]> = {};
  for (const { name, shape } of requiredInputs(signature)) {
    if (shape === null) return null;
    const isText = tokens !== undefined && shape.length === 2;
    const concrete = shape.map((size, axis) => (size !== -1 ? size : axis === 0 ? 1 : isText ? tokens : size));
    if (concrete.includes(-1)) return null;
    shapes[name] = concrete;
  }
  return shapes;
}

/**
 * What one request of a model looks like, from one that came: its open first axes are taken as 1, and what it might have
 * left out is left out. Null where it is empty, and tells nothing.
 */
export function shapesOfRequest(signature: ModelSignature, inputs: readonly Shaped[]): InputShapes | null {
  const shapes: Record<string, readonly number[]> = {};
  for (const { name, shape: declared } of requiredInputs(signature)) {
    const shape = inputs.find((input) => input.name === name)?.shape;
    if (shape === undefined || elementCount(shape) === 0) return null;
    shapes[name] = declared?.[0] === -1 ? [1, ...shape.slice(1)] : shape;
  }
  return shapes;
}

/** @throws Error, in one line, when the shapes do not fit the model's inputs */
export function checkShapes(signature: ModelSignature, shapes: InputShapes): void {
  for (const name of Object.keys(shapes)) {
    if (!signature.inputs.some((input) => input.name === name)) {
      throw new Error(
        `shape: the model has no input "${name}"; its inputs are ${signature.inputs.map(describe).join(', ')}`,
      );
    }
  }
  for (const input of signature.inputs) {
    const shape = shapes[input.name];
    if (shape === undefined && input.isOptional === true) continue;
    if (shape === undefined || !fitsDeclared(input, shape))
      throw new Error(
        `shape: input ${describe(input)} needs a shape that fits, got ${shape === undefined ? 'none' : shapeText(shape)}`,
      );
  }
}

function describe({ name, shape }: TensorSpec): string {
  return `${name} ${shapeText(shape)}`;
}
