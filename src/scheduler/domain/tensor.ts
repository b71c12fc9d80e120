/** Tensor element types of the Open Inference Protocol v2. FP16 and BF16 have no JSON form: they are carried as raw bytes. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const;

export type Datatype = (typeof DATATYPES)[number];

/** Bytes per element; 0 for BYTES, whose elements carry their own length. */
export const ELEMENT_BYTES: Readonly<Record<Datatype, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
};

/** An input or output that a model declares. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** One entry an axis, outermost first; −1 where the model leaves the size open; null where not even the rank is declared. */
  readonly shape: readonly number[] | null;
  /** The model has a value of its own for it: a request may leave it out. */
  readonly isOptional?: boolean;
  /** INT32 or INT64: its elements are rows of a table, and the model cannot run with others. Absent where that is not known. */
  readonly table?: TableIndex;
}

/** An index is from `least` up to, and without, `rows`. */
export interface TableIndex {
  /** ≤ 0; below 0 where rows are counted from the end too, or for what stands for none. */
  readonly least: number;
  /** ≥ 1 */
  readonly rows: number;
}

/** Of memory that is lent: it is used for something else when nobody holds it any more. */
export interface Lease {
  hold(): void;
  /** Once for each `hold`. */
  release(): void;
}

/** A tensor with its data. */
export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** Concrete sizes ≥ 0, outermost axis first. */
  readonly shape: readonly number[];
  /**
   * The protocol's binary layout: row-major little-endian elements; for BYTES each element is a 4-byte little-endian
   * length and that many bytes. Need not be aligned to the element size.
   */
  readonly data: Uint8Array;
  /** What the data are lent by: whoever is given the tensor and reads it later holds it until then. Absent: they are there as long as the tensor. */
  readonly lease?: Lease;
}

/** What a loaded model takes and gives. */
export interface ModelSignature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** The inputs that every request has; the others have values of the model's own. */
export function requiredInputs({ inputs }: ModelSignature): readonly TensorSpec[] {
  return inputs.filter(({ isOptional }) => isOptional !== true);
}

/** Whether a tensor of this shape can be given where `spec` is declared. */
export function fitsDeclared({ shape: declared }: TensorSpec, shape: readonly number[]): boolean {
  if (declared === null) return true;
  return declared.length === shape.length && declared.every((size, axis) => size === -1 || size === shape[axis]);
}

/** A declared shape for people: `[-1, 3]`, or `[…]` where not even the rank is declared. */
export function shapeText(shape: readonly number[] | null): string {
  return shape === null ? '[…]' : `[${shape.join(', ')}]`;
}

/** Product of the sizes; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** Keeps what is lent for whoever reads it later, and then lets go of it: `releaseAll`. */
export function holdAll(tensors: readonly Tensor[]): void {
  for (const { lease } of tensors) lease?.hold();
}

export function releaseAll(tensors: readonly Tensor[]): void {
  for (const { lease } of tensors) lease?.release();
}
