import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/*
 * Which of a graph's weights ONNX Runtime wrote to the file beside it, and where. Field numbers are those of the public
 * schema, github.com/onnx/onnx, `onnx/onnx.proto`.
 */

export interface ExternalWeights {
  readonly name: string;
  /** As the C API numbers element types. */
  readonly elementType: number;
  readonly shape: readonly bigint[];
  readonly offset: number;
  readonly byteCount: number;
}

const MODEL = { graph: 7 };
const GRAPH = { initializer: 5 };
const TENSOR = { dims: 1, dataType: 2, name: 8, externalData: 13 };
const ENTRY = { key: 1, value: 2 };

/** @param model as ONNX Runtime wrote it @throws RangeError where it is no protobuf */
export function externalWeights(model: Uint8Array): readonly ExternalWeights[] {
  const found: ExternalWeights[] = [];
  for (const graph of messages(model, MODEL.graph)) {
    for (const tensor of messages(graph, GRAPH.initializer)) {
      const weights = readTensor(tensor);
      if (weights !== null) found.push(weights);
    }
  }
  return found;
}

/** Null for weights that are in the graph's own file. */
function readTensor(bytes: Uint8Array): ExternalWeights | null {
  const reader = new BinaryReader(bytes);
  const shape: bigint[] = [];
  const entries = new Map<string, string>();
  let elementType = 0;
  let name = '';
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === TENSOR.dims && wireType === WireType.LengthDelimited) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) shape.push(BigInt(reader.int64()));
    } else if (field === TENSOR.dims) shape.push(BigInt(reader.int64()));
    else if (field === TENSOR.dataType) elementType = reader.int32();
    else if (field === TENSOR.name) name = reader.string();
    else if (field === TENSOR.externalData) readEntry(reader.bytes(), entries);
    else reader.skip(wireType, field);
  }
  if (!entries.has('location')) return null;
  return {
    name,
    elementType,
    shape,
    offset: Number(entries.get('offset') ?? 0),
    byteCount: Number(entries.get('length') ?? 0),
  };
}

function readEntry(bytes: Uint8Array, entries: Map<string, string>): void {
  const reader = new BinaryReader(bytes);
  let key = '';
  let value = '';
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === ENTRY.key) key = reader.string();
    else if (field === ENTRY.value) value = reader.string();
    else reader.skip(wireType, field);
  }
  entries.set(key, value);
}

/** Each message of one repeated field, as views. */
function* messages(bytes: Uint8Array, wanted: number): Generator<Uint8Array> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) yield reader.bytes();
    else reader.skip(wireType, field);
  }
}
