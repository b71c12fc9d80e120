import {
  elementCount,
  fitsDeclared,
  shapeText,
  type ModelSignature,
  type Tensor,
  type TensorSpec,
} from '../../scheduler/domain/tensor.js';
import type { StatedTensors } from './config-settings.js';
import type { StatedTensor } from './stated-config.js';

/*
 * Inputs and outputs as clients see them, where a configuration says so: with sizes that the model itself leaves open, and in other
 * shapes than the model's, with the same elements in the same order (`reshape`). Checked against the model when that is loaded.
 *
 * Of two shapes the first open size of the one is the first of the other, and so on.
 */

export interface TensorContract {
  /** What requests are checked against, and metadata say. */
  readonly clients: ModelSignature;
  /** What the model declares, with the sizes that the configuration adds. */
  readonly model: ModelSignature;
  /** Inputs as the model wants them. */
  toModel(tensors: readonly Tensor[]): readonly Tensor[];
  /** Outputs as clients want them. */
  toClients(tensors: readonly Tensor[]): readonly Tensor[];
}

/** Of one tensor, on both sides; sizes of −1 are open. */
interface Sides {
  readonly clients: TensorSpec;
  readonly model: TensorSpec;
  /** Whether the shapes differ. */
  readonly isReshaped: boolean;
}

const NOTHING_STATED: StatedTensors = { isBatched: null, inputs: [], outputs: [] };

/** Of a model that is served as it declares itself. */
export function asDeclared(signature: ModelSignature): TensorContract {
  return contractOf(NOTHING_STATED, signature);
}

/** @throws Error of one line: what the configuration says is not so */
export function contractOf(stated: StatedTensors, signature: ModelSignature): TensorContract {
  const isBatched = stated.isBatched ?? seemsBatched(stated, signature);
  const inputs = sidesOf('input', stated.inputs, signature.inputs, isBatched);
  const outputs = sidesOf('output', stated.outputs, signature.outputs, isBatched);
  return {
    clients: { inputs: inputs.map(({ clients }) => clients), outputs: outputs.map(({ clients }) => clients) },
    model: { inputs: inputs.map(({ model }) => model), outputs: outputs.map(({ model }) => model) },
    toModel: reshaper(inputs, ({ clients, model }) => [clients, model]),
    toClients: reshaper(outputs, ({ clients, model }) => [model, clients]),
  };
}

/** The tensors themselves where none has another shape. */
function reshaper(
  all: readonly Sides[],
  wayOf: (sides: Sides) => readonly [from: TensorSpec, to: TensorSpec],
): (tensors: readonly Tensor[]) => readonly Tensor[] {
  const ways = new Map(all.filter(({ isReshaped }) => isReshaped).map((sides) => [sides.clients.name, wayOf(sides)]));
  if (ways.size === 0) return (tensors) => tensors;
  return (tensors) =>
    tensors.map((tensor) => {
      const [from, to] = ways.get(tensor.name) ?? [];
      // A model may give another shape than it declares; that is told as it is.
      if (from === undefined || !fitsDeclared(from, tensor.shape)) return tensor;
      return { ...tensor, shape: reshaped(tensor.shape, from.shape!, to!.shape!) };
    });
}

function reshaped(shape: readonly number[], from: readonly number[], to: readonly number[]): readonly number[] {
  const open = shape.filter((_, axis) => from[axis] === -1);
  let next = 0;
  return to.map((size) => (size === -1 ? open[next++]! : size));
}

/** Whether the sizes that are stated are without a first axis that the model leaves open. */
function seemsBatched({ inputs, outputs }: StatedTensors, signature: ModelSignature): boolean {
  const declared = [...signature.inputs, ...signature.outputs];
  const pairs = [...inputs, ...outputs].flatMap((tensor) => {
    const shape = declared.find(({ name }) => name === tensor.name)?.shape ?? null;
    return shape === null || !saysShape(tensor) ? [] : [{ shape, own: modelSizes(tensor) }];
  });
  return pairs.length > 0 && pairs.every(({ shape, own }) => shape[0] === -1 && own.length === shape.length - 1);
}

function sidesOf(
  kind: 'input' | 'output',
  stated: readonly StatedTensor[],
  declared: readonly TensorSpec[],
  isBatched: boolean,
): readonly Sides[] {
  const unknown = stated.find(({ name }) => declared.every((spec) => spec.name !== name));
  if (unknown !== undefined) {
    const names = declared.map(({ name }) => `'${name}'`).join(', ');
    throw new Error(`${kind} '${unknown.name}': the model has no such ${kind}, it has ${names}`);
  }
  return declared.map((spec) => {
    const tensor = stated.find(({ name }) => name === spec.name);
    if (tensor === undefined) return { clients: spec, model: spec, isReshaped: false };
    const owner = `${kind} '${spec.name}'`;
    checkDatatype(owner, tensor, spec);
    if (tensor.optional === true && spec.isOptional !== true) {
      throw new Error(`${owner}: optional, and the model has no value for it; leave that out`);
    }
    return saysShape(tensor)
      ? shapesOf(owner, tensor, spec, isBatched)
      : { clients: spec, model: spec, isReshaped: false };
  });
}

function checkDatatype(owner: string, { data_type: stated }: StatedTensor, { datatype }: TensorSpec): void {
  const own = datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`;
  if (stated === undefined || stated === own) return;
  throw new Error(`${owner}: data_type is ${stated}, and the model's is ${own}`);
}

function saysShape({ dims, reshape }: StatedTensor): boolean {
  return dims.length > 0 || reshape !== undefined;
}

/** Of what the model gets, without the batch axis. */
function modelSizes({ dims, reshape }: StatedTensor): readonly number[] {
  return reshape?.shape ?? dims;
}

function shapesOf(owner: string, stated: StatedTensor, spec: TensorSpec, isBatched: boolean): Sides {
  // Of an input that has a value of its own the batch axis is no part.
  const isRows = isBatched && spec.isOptional !== true;
  const whole = (sizes: readonly number[]): readonly number[] => (isRows ? [-1, ...sizes] : sizes);
  const [clients, model] = [whole(stated.dims), whole(modelSizes(stated))];
  if (stated.reshape !== undefined) assertSameElements(owner, stated.dims, stated.reshape.shape);
  const declared = spec.shape ?? model;
  const both = intersection(declared, model);
  if (both === null) {
    const axis = isRows ? ' with the batch axis before them' : '';
    const remedy = isRows && declared[0] !== -1 ? '; its first axis is fixed: say max_batch_size: 0' : '';
    throw new Error(
      `${owner}: dims are ${shapeText(model)}${axis}, and the model's are ${shapeText(declared)}${remedy}`,
    );
  }
  // A size that is open in the configuration is the model's where that has one.
  const fixed = reshaped(both, model, clients);
  return {
    clients: { ...spec, shape: fixed },
    model: { ...spec, shape: both },
    isReshaped: stated.reshape !== undefined,
  };
}

/** What fits both; null where nothing does. */
function intersection(a: readonly number[], b: readonly number[]): readonly number[] | null {
  if (a.length !== b.length) return null;
  if (a.some((size, axis) => size !== -1 && b[axis] !== -1 && size !== b[axis])) return null;
  return a.map((size, axis) => (size === -1 ? b[axis]! : size));
}

/** @throws Error where the two would not have as many elements, whatever their open sizes are */
function assertSameElements(owner: string, dims: readonly number[], shape: readonly number[]): void {
  const openCount = (sizes: readonly number[]): number => sizes.filter((size) => size === -1).length;
  const fixedCount = (sizes: readonly number[]): number => elementCount(sizes.map((size) => Math.abs(size)));
  if (openCount(dims) === openCount(shape) && fixedCount(dims) === fixedCount(shape)) return;
  throw new Error(`${owner}: reshape ${shapeText(shape)} has not the elements of dims ${shapeText(dims)}`);
}
