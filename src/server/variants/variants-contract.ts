import { shapeText, type ModelSignature, type TensorSpec } from '../../scheduler/domain/tensor.js';

/*
 * Variants of one model take the same and give the same: names, types, and shapes that agree where they are known.
 */

interface NamedSignature {
  readonly name: string;
  readonly signature: ModelSignature;
}

/** @param variants at least one. @returns what all of them take and give. @throws Error of one line: which does not fit, and where */
export function commonSignature(variants: readonly NamedSignature[]): ModelSignature {
  const [first, ...others] = variants as readonly [NamedSignature, ...NamedSignature[]];
  return others.reduce(
    (common, other) => ({
      inputs: commonTensors('input', first.name, common.inputs, other.name, other.signature.inputs),
      outputs: commonTensors('output', first.name, common.outputs, other.name, other.signature.outputs),
    }),
    first.signature,
  );
}

function commonTensors(
  kind: string,
  firstName: string,
  common: readonly TensorSpec[],
  otherName: string,
  others: readonly TensorSpec[],
): readonly TensorSpec[] {
  const unknown = others.find(({ name }) => common.every((spec) => spec.name !== name));
  if (unknown !== undefined)
    throw new Error(
      `variant '${otherName}' has an ${kind} '${unknown.name}', and '${firstName}' has none of that name`,
    );
  return common.map((spec) => {
    const other = others.find(({ name }) => name === spec.name);
    if (other === undefined)
      throw new Error(`variant '${otherName}' has no ${kind} '${spec.name}', and '${firstName}' has`);
    const shape = commonShape(spec.shape, other.shape);
    if (spec.datatype === other.datatype && shape !== undefined) return { ...spec, shape };
    throw new Error(
      `variant '${otherName}': ${kind} '${spec.name}' is ${textOf(other)}, and of '${firstName}' it is ${textOf(spec)}`,
    );
  });
}

/** The narrower of two; null: any. Undefined where nothing is of both. */
function commonShape(a: TensorSpec['shape'], b: TensorSpec['shape']): TensorSpec['shape'] | undefined {
  if (a === null || b === null) return a ?? b;
  if (a.length !== b.length) return undefined;
  const isAlike = a.every((size, axis) => size === -1 || b[axis] === -1 || size === b[axis]);
  return isAlike ? a.map((size, axis) => (size === -1 ? b[axis]! : size)) : undefined;
}

function textOf({ datatype, shape }: TensorSpec): string {
  return `${datatype} ${shapeText(shape)}`;
}
