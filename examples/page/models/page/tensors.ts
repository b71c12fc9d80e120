/* What the functions of this pipeline are given, and give: elements in a typed array of their kind. */

export interface Tensor<Data> {
  readonly shape: readonly number[];
  readonly data: Data;
}

export type Floats = Tensor<Float32Array<ArrayBuffer>>;
export type Bytes = Tensor<Uint8Array<ArrayBuffer>>;
/** Null in the place of a part that is missing. */
export type List<Each> = readonly (Each | null)[];
