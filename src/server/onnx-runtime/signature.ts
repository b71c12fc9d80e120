import type { ModelSignature, TensorSpec } from '../../scheduler/domain/tensor.js';
import { textAt, type OrtApi, type Pointer } from './c-api.js';
import { datatypeOf, nameOfElementType } from './element-types.js';
import { UnsupportedModelError } from './unsupported-model-error.js';

/*
 * What a session takes and gives. An initialiser that the graph lists among its inputs is an input with a value of its own:
 * a request may leave it out.
 */

export interface DescribedModel {
  readonly signature: ModelSignature;
  /** By tensor name: the model's own name of each open axis, '' where it has none, null where the size is fixed. */
  readonly symbolicDimensions: Readonly<Record<string, readonly (string | null)[]>>;
}

/** ONNXType of the C API. */
const TENSOR = 1;
const OPTIONAL = 6;
const KIND_NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'of unknown kind'],
  [2, 'a sequence'],
  [3, 'a map'],
  [4, 'opaque'],
  [5, 'a sparse tensor'],
]);

const INPUT = {
  count: 'sessionGetInputCount',
  name: 'sessionGetInputName',
  type: 'sessionGetInputTypeInfo',
} as const;
const OUTPUT = {
  count: 'sessionGetOutputCount',
  name: 'sessionGetOutputName',
  type: 'sessionGetOutputTypeInfo',
} as const;
const OVERRIDABLE = {
  count: 'sessionGetOverridableInitializerCount',
  name: 'sessionGetOverridableInitializerName',
  type: 'sessionGetOverridableInitializerTypeInfo',
} as const;

/** @throws UnsupportedModelError naming the input or output that the protocol cannot carry, and why */
export function describeSession(api: OrtApi, session: Pointer): DescribedModel {
  const allocator = api.pointer('getAllocatorWithDefaultOptions');
  const symbolicDimensions: Record<string, readonly (string | null)[]> = {};
  const listOf = (kind: typeof INPUT | typeof OUTPUT | typeof OVERRIDABLE): TensorSpec[] =>
    Array.from({ length: api.count(kind.count, session) }, (_, index) => {
      const named = api.pointer(kind.name, session, index, allocator);
      const name = textAt(named);
      api.check('allocatorFree', allocator, named);
      const info = api.pointer(kind.type, session, index);
      try {
        const { spec, symbols } = describeValue(api, name, info);
        symbolicDimensions[name] = symbols;
        return spec;
      } finally {
        api.call('releaseTypeInfo', info);
      }
    });
  const inputs = [...listOf(INPUT), ...listOf(OVERRIDABLE).map((spec) => ({ ...spec, isOptional: true }))];
  return { signature: { inputs, outputs: listOf(OUTPUT) }, symbolicDimensions };
}

/** The infos that it asks for are parts of `info`, which stays the caller's. */
function describeValue(
  api: OrtApi,
  name: string,
  info: Pointer,
): { readonly spec: TensorSpec; readonly symbols: readonly (string | null)[] } {
  const kind = api.count('getOnnxTypeFromTypeInfo', info);
  if (kind === OPTIONAL) {
    const optional = api.pointer('castTypeInfoToOptionalTypeInfo', info);
    const contained = api.pointer('getOptionalContainedTypeInfo', optional);
    try {
      return describeValue(api, name, contained);
    } finally {
      api.call('releaseTypeInfo', contained);
    }
  }
  if (kind !== TENSOR) {
    const what = KIND_NAMES.get(kind) ?? KIND_NAMES.get(0)!;
    throw new UnsupportedModelError(`'${name}' is ${what}; export the model with tensor inputs and outputs`);
  }
  const tensor = api.pointer('castTypeInfoToTensorInfo', info);
  const elementType = api.count('getTensorElementType', tensor);
  const datatype = datatypeOf(elementType);
  if (datatype === null) {
    const type = nameOfElementType(elementType);
    throw new UnsupportedModelError(`'${name}' has element type ${type}, which cannot be served; cast it`);
  }
  if (api.call('tensorTypeAndShapeHasShape', tensor) !== true)
    return { spec: { name, datatype, shape: null }, symbols: [] };
  const rank = api.count('getDimensionsCount', tensor);
  const sizes = new BigInt64Array(rank);
  const symbolAddresses = new BigUint64Array(rank);
  if (rank > 0) {
    api.check('getDimensions', tensor, sizes, rank);
    api.check('getSymbolicDimensions', tensor, symbolAddresses, rank);
  }
  const shape = Array.from(sizes, (size) => (size < 0n ? -1 : Number(size)));
  const symbols = shape.map((size, axis) => (size === -1 ? textAt(symbolAddresses[axis]!) : null));
  return { spec: { name, datatype, shape }, symbols };
}
