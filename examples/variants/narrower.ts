import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/*
 * A cheaper form of a text-line recogniser: the same network behind operators that make its picture narrower, so that all that comes after has
 * fewer columns to look at. It takes and gives the same, for fewer places along the line.
 *
 * Of each `of` columns `kept` are made, by the area that they have in common: a convolution over a block of columns with `kept` results for
 * each colour, which are then put beside each other. Only what is changed is decoded: operators are put in front, and those that took the
 * picture take their result. Field numbers are those of the public schema, github.com/onnx/onnx, `onnx/onnx.proto`.
 */

const MODEL_GRAPH = 7;
const GRAPH = { node: 1, initializer: 5, input: 11 };
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, int: 3, ints: 8, type: 20 };
const ATTRIBUTE_TYPE = { int: 2, ints: 7 };
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 };
const ELEMENT = { float: 1, int64: 7 };
const VALUE = { name: 1, type: 2 };
const [TYPE_TENSOR, TENSOR_SHAPE, SHAPE_AXIS, AXIS_SIZE] = [1, 2, 1, 1];

/**
 * @param model an ONNX file of one input, a picture [batch, channel, height, width] of stated channels and height
 * @param kept of each `of` columns; less than these
 * @returns the same model at that share of the width. @throws Error of one line where it is no such file
 */
export function narrower(model: Uint8Array, kept: number, of: number): Uint8Array {
  if (fieldsOf(model, MODEL_GRAPH).length === 0) throw new Error('not an ONNX model: it has no graph');
  return rewritten(model, MODEL_GRAPH, (graph) => narrowerGraph(graph, kept, of));
}

function narrowerGraph(graph: Uint8Array, kept: number, of: number): Uint8Array {
  // Old files list weights among the inputs too.
  const weights = new Set(fieldsOf(graph, GRAPH.initializer).map((tensor) => textOf(tensor, TENSOR.name)));
  const pictures = fieldsOf(graph, GRAPH.input).filter((input) => !weights.has(textOf(input, VALUE.name)));
  const [picture] = pictures;
  if (picture === undefined || pictures.length > 1)
    throw new Error(`a picture is to be the one input, and there are ${pictures.length} inputs`);
  const name = textOf(picture, VALUE.name);
  const [channels, height] = statedSizes(picture).slice(1);
  if (channels === undefined || height === undefined || channels < 1 || height < 1)
    throw new Error(`input '${name}' does not say how many channels and how high a picture is`);
  const made = (part: string): string => `${name}.${part}`;
  const narrow = made('narrow');
  const rest = rewritten(graph, GRAPH.node, (node) =>
    rewritten(node, NODE.input, (value) => (decoded(value) === name ? encoded(narrow) : value)),
  );
  const front = [
    tensor(made('columns'), [channels * kept, 1, 1, of], columnWeights(channels, kept, of)),
    tensor(made('blocks'), [5], BigInt64Array.of(0n, BigInt(channels), BigInt(kept), BigInt(height), -1n)),
    tensor(made('rows'), [4], BigInt64Array.of(0n, BigInt(channels), BigInt(height), -1n)),
    operator('Conv', [name, made('columns')], made('convolved'), {
      group: channels,
      kernel_shape: [1, of],
      strides: [1, of],
      // The last block may be less than full.
      pads: [0, 0, 0, of - 1],
    }),
    operator('Reshape', [made('convolved'), made('blocks')], made('blocked'), {}),
    operator('Transpose', [made('blocked')], made('turned'), { perm: [0, 1, 3, 4, 2] }),
    operator('Reshape', [made('turned'), made('rows')], narrow, {}),
  ];
  // Operators stand in the order in which they run.
  return concat([...front, rest]);
}

/** [channel × kept, 1, 1, of]: of each column that is made, what it has of the block's, which sums to 1. */
function columnWeights(channels: number, kept: number, of: number): Float32Array {
  const width = of / kept;
  const one = Array.from({ length: kept }, (_, column) =>
    Array.from({ length: of }, (__, source) => {
      const common = Math.min(source + 1, (column + 1) * width) - Math.max(source, column * width);
      return Math.max(0, common) / width;
    }),
  ).flat();
  return Float32Array.from(Array.from({ length: channels }, () => one).flat());
}

/** By axis; 0 where it is open. */
function statedSizes(input: Uint8Array): readonly number[] {
  const shape = [VALUE.type, TYPE_TENSOR, TENSOR_SHAPE].reduce<Uint8Array>(
    (message, field) => fieldsOf(message, field)[0] ?? new Uint8Array(),
    input,
  );
  return fieldsOf(shape, SHAPE_AXIS).map((axis) => {
    const reader = new BinaryReader(axis);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === AXIS_SIZE && wireType === WireType.Varint) return Number(reader.int64());
      reader.skip(wireType, field);
    }
    return 0;
  });
}

// ---- as bytes --------------------------------------------------------------------------------------------------------

/** A field of the graph. */
function operator(
  kind: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number | readonly number[]>>,
): Uint8Array {
  const node = new BinaryWriter();
  for (const input of inputs) node.tag(NODE.input, WireType.LengthDelimited).string(input);
  node.tag(NODE.output, WireType.LengthDelimited).string(output);
  node.tag(NODE.name, WireType.LengthDelimited).string(output);
  node.tag(NODE.operator, WireType.LengthDelimited).string(kind);
  for (const [name, value] of Object.entries(attributes)) {
    const attribute = new BinaryWriter().tag(ATTRIBUTE.name, WireType.LengthDelimited).string(name);
    if (typeof value === 'number') attribute.tag(ATTRIBUTE.int, WireType.Varint).int64(value);
    else for (const each of value) attribute.tag(ATTRIBUTE.ints, WireType.Varint).int64(each);
    const type = typeof value === 'number' ? ATTRIBUTE_TYPE.int : ATTRIBUTE_TYPE.ints;
    attribute.tag(ATTRIBUTE.type, WireType.Varint).int32(type);
    node.tag(NODE.attribute, WireType.LengthDelimited).bytes(attribute.finish());
  }
  return new BinaryWriter().tag(GRAPH.node, WireType.LengthDelimited).bytes(node.finish()).finish();
}

/** The same for a constant. */
function tensor(name: string, dims: readonly number[], values: Float32Array | BigInt64Array): Uint8Array {
  const message = new BinaryWriter();
  for (const size of dims) message.tag(TENSOR.dims, WireType.Varint).int64(size);
  message
    .tag(TENSOR.dataType, WireType.Varint)
    .int32(values instanceof Float32Array ? ELEMENT.float : ELEMENT.int64)
    .tag(TENSOR.name, WireType.LengthDelimited)
    .string(name)
    .tag(TENSOR.rawData, WireType.LengthDelimited)
    .bytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return new BinaryWriter().tag(GRAPH.initializer, WireType.LengthDelimited).bytes(message.finish()).finish();
}

/** The values of one field, which are messages or texts. */
function fieldsOf(message: Uint8Array, wanted: number): Uint8Array[] {
  const values: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) values.push(reader.bytes());
    else reader.skip(wireType, field);
  }
  return values;
}

/** The message with each value of one field changed, and all else byte by byte as it was. */
function rewritten(message: Uint8Array, wanted: number, change: (value: Uint8Array) => Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) {
      const value = change(reader.bytes());
      parts.push(new BinaryWriter().tag(field, wireType).bytes(value).finish());
    } else {
      reader.skip(wireType, field);
      parts.push(message.subarray(from, reader.pos));
    }
  }
  return concat(parts);
}

function textOf(message: Uint8Array, field: number): string {
  return decoded(fieldsOf(message, field)[0] ?? new Uint8Array());
}

function decoded(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
