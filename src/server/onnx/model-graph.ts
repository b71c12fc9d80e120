import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/*
 * Reads what an ONNX file says of its graph: operators, how they are joined, and weights as far as they are few integers.
 * Field numbers are those of the public schema, github.com/onnx/onnx, `onnx/onnx.proto`. Weights stay where they are: bytes
 * are views of the file's, and only small integer tensors, which shapes are made of, are decoded.
 */

export interface ModelGraph {
  readonly graph: Graph;
  /** Version by domain; '' is ONNX's own. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Operators that the file defines itself, as `domain:name`. */
  readonly functions: ReadonlySet<string>;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly initializers: ReadonlyMap<string, GraphTensor>;
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  /** What the file says of values in between, as far as its exporter wrote that down. */
  readonly declared: readonly GraphValue[];
}

export interface GraphNode {
  readonly name: string;
  readonly operator: string;
  readonly domain: string;
  /** '' for an optional one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, GraphAttribute>;
}

export interface GraphAttribute {
  readonly int: number;
  readonly ints: readonly number[];
  readonly text: string;
  readonly tensor: GraphTensor | null;
  readonly graph: Graph | null;
}

export interface GraphTensor {
  readonly name: string;
  /** `TensorProto.DataType` */
  readonly elementType: number;
  readonly shape: readonly number[];
  /** Elements of a small tensor of 32 or 64-bit numbers; null for others. */
  readonly numbers: readonly number[] | null;
  readonly isInteger: boolean;
  /** Weights in a file beside the model's. */
  readonly external: { readonly location: string; readonly offset: number; readonly byteCount: number } | null;
}

/** An input or output of a graph, or a value in between; what is no tensor has neither type nor shape. */
export interface GraphValue {
  readonly name: string;
  /** `TensorProto.DataType`; 0 where it is not declared. */
  readonly elementType: number;
  /** A size, the name of an open one ('' without a name); null where not even the rank is declared. */
  readonly shape: readonly (number | string)[] | null;
}

/** More elements than any shape, list of axes or of repeats has. */
const MOST_DECODED = 64;
/** Graphs within graphs; deeper ones are not real. */
const DEEPEST_GRAPH = 16;

const FLOAT = 1;
/** `TensorProto.DataType` */
export const INT32_TYPE = 6;
export const INT64_TYPE = 7;
const DOUBLE = 11;

const DECODERS: ReadonlyMap<number, { readonly bytes: number; read(view: DataView, at: number): number }> = new Map([
  [FLOAT, { bytes: 4, read: (view: DataView, at: number) => view.getFloat32(at, true) }],
  [INT32_TYPE, { bytes: 4, read: (view: DataView, at: number) => view.getInt32(at, true) }],
  [INT64_TYPE, { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigInt64(at, true)) }],
  [DOUBLE, { bytes: 8, read: (view: DataView, at: number) => view.getFloat64(at, true) }],
]);

type Visit = (field: number, reader: BinaryReader, wireType: WireType) => boolean;

/** @throws Error where the bytes are no ONNX model */
export function readModelGraph(bytes: Uint8Array): ModelGraph {
  const opsets = new Map<string, number>();
  const functions = new Set<string>();
  const graphs: Graph[] = [];
  visit(bytes, (field, reader) => {
    if (field === 7) graphs.push(readGraph(reader.bytes(), 0));
    else if (field === 8) readOpset(reader.bytes(), opsets);
    else if (field === 25) functions.add(readFunctionName(reader.bytes()));
    else return false;
    return true;
  });
  const graph = graphs.at(-1);
  if (graph === undefined) throw new Error('not an ONNX model: it has no graph');
  return { graph, opsets, functions };
}

function readOpset(bytes: Uint8Array, opsets: Map<string, number>): void {
  let domain = '';
  let version = 0;
  visit(bytes, (field, reader) => {
    if (field === 1) domain = reader.string();
    else if (field === 2) version = Number(reader.int64());
    else return false;
    return true;
  });
  opsets.set(domain === 'ai.onnx' ? '' : domain, version);
}

function readFunctionName(bytes: Uint8Array): string {
  let name = '';
  let domain = '';
  visit(bytes, (field, reader) => {
    if (field === 1) name = reader.string();
    else if (field === 10) domain = reader.string();
    else return false;
    return true;
  });
  return `${domain === 'ai.onnx' ? '' : domain}:${name}`;
}

function readGraph(bytes: Uint8Array, depth: number): Graph {
  if (depth > DEEPEST_GRAPH) throw new Error(`graphs are nested more than ${DEEPEST_GRAPH} deep`);
  const nodes: GraphNode[] = [];
  const initializers = new Map<string, GraphTensor>();
  const inputs: GraphValue[] = [];
  const outputs: GraphValue[] = [];
  const declared: GraphValue[] = [];
  visit(bytes, (field, reader) => {
    if (field === 1) nodes.push(readNode(reader.bytes(), depth));
    else if (field === 5) {
      const tensor = readTensor(reader.bytes());
      initializers.set(tensor.name, tensor);
    } else if (field === 11) inputs.push(readValue(reader.bytes()));
    else if (field === 12) outputs.push(readValue(reader.bytes()));
    else if (field === 13) declared.push(readValue(reader.bytes()));
    else return false;
    return true;
  });
  return { nodes, initializers, inputs, outputs, declared };
}

function readNode(bytes: Uint8Array, depth: number): GraphNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, GraphAttribute>();
  let name = '';
  let operator = '';
  let domain = '';
  visit(bytes, (field, reader) => {
    if (field === 1) inputs.push(reader.string());
    else if (field === 2) outputs.push(reader.string());
    else if (field === 3) name = reader.string();
    else if (field === 4) operator = reader.string();
    else if (field === 5) attributes.set(...readAttribute(reader.bytes(), depth));
    else if (field === 7) domain = reader.string();
    else return false;
    return true;
  });
  return { name, operator, domain: domain === 'ai.onnx' ? '' : domain, inputs, outputs, attributes };
}

function readAttribute(bytes: Uint8Array, depth: number): [string, GraphAttribute] {
  const ints: number[] = [];
  let name = '';
  let int = 0;
  let text = '';
  let tensor: GraphTensor | null = null;
  let graph: Graph | null = null;
  visit(bytes, (field, reader, wireType) => {
    if (field === 1) name = reader.string();
    else if (field === 3) int = Number(reader.int64());
    else if (field === 4) text = new TextDecoder().decode(reader.bytes());
    else if (field === 5) tensor = readTensor(reader.bytes());
    else if (field === 6) graph = readGraph(reader.bytes(), depth + 1);
    else if (field === 8) readIntegers(reader, wireType, ints);
    else return false;
    return true;
  });
  return [name, { int, ints, text, tensor, graph }];
}

function readTensor(bytes: Uint8Array): GraphTensor {
  const shape: number[] = [];
  const listed: number[] = [];
  const entries = new Map<string, string>();
  let elementType = 0;
  let name = '';
  let raw: Uint8Array | null = null;
  visit(bytes, (field, reader, wireType) => {
    if (field === 1) readIntegers(reader, wireType, shape);
    else if (field === 2) elementType = reader.int32();
    else if ((field === 5 || field === 7) && count(shape) <= MOST_DECODED) readIntegers(reader, wireType, listed);
    else if (field === 4 && count(shape) <= MOST_DECODED) readFloats(reader, wireType, listed);
    else if (field === 8) name = reader.string();
    else if (field === 9) raw = reader.bytes();
    else if (field === 13) readEntry(reader.bytes(), entries);
    else return false;
    return true;
  });
  const location = entries.get('location');
  const external =
    location === undefined
      ? null
      : { location, offset: Number(entries.get('offset') ?? 0), byteCount: Number(entries.get('length') ?? 0) };
  const numbers = external === null ? numbersOf(elementType, shape, raw, listed) : null;
  return {
    name,
    elementType,
    shape,
    numbers,
    isInteger: elementType === INT32_TYPE || elementType === INT64_TYPE,
    external,
  };
}

function numbersOf(
  elementType: number,
  shape: readonly number[],
  raw: Uint8Array | null,
  listed: readonly number[],
): readonly number[] | null {
  const elements = count(shape);
  const decoder = DECODERS.get(elementType);
  if (decoder === undefined || elements > MOST_DECODED) return null;
  if (raw === null) return listed.length === elements ? listed : null;
  if (raw.byteLength !== elements * decoder.bytes) return null;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: elements }, (_, i) => decoder.read(view, i * decoder.bytes));
}

function readEntry(bytes: Uint8Array, entries: Map<string, string>): void {
  let key = '';
  let value = '';
  visit(bytes, (field, reader) => {
    if (field === 1) key = reader.string();
    else if (field === 2) value = reader.string();
    else return false;
    return true;
  });
  entries.set(key, value);
}

function readValue(bytes: Uint8Array): GraphValue {
  let name = '';
  let type: Omit<GraphValue, 'name'> = { elementType: 0, shape: null };
  visit(bytes, (field, reader) => {
    if (field === 1) name = reader.string();
    else if (field === 2) type = readType(reader.bytes());
    else return false;
    return true;
  });
  return { name, ...type };
}

function readType(bytes: Uint8Array): Omit<GraphValue, 'name'> {
  let elementType = 0;
  let shape: (number | string)[] | null = null;
  visit(bytes, (field, reader) => {
    if (field !== 1) return false;
    visit(reader.bytes(), (tensorField, tensorReader) => {
      if (tensorField === 1) elementType = tensorReader.int32();
      else if (tensorField === 2) shape = readShape(tensorReader.bytes());
      else return false;
      return true;
    });
    return true;
  });
  return { elementType, shape };
}

function readShape(bytes: Uint8Array): (number | string)[] {
  const shape: (number | string)[] = [];
  visit(bytes, (field, reader) => {
    if (field !== 1) return false;
    let size: number | string = '';
    visit(reader.bytes(), (axisField, axisReader) => {
      if (axisField === 1) size = Number(axisReader.int64());
      else if (axisField === 2) size = axisReader.string();
      else return false;
      return true;
    });
    // Some exporters write −1 for an open axis.
    shape.push(typeof size === 'number' && size < 0 ? '' : size);
    return true;
  });
  return shape;
}

function readIntegers(reader: BinaryReader, wireType: WireType, into: number[]): void {
  if (wireType !== WireType.LengthDelimited) {
    into.push(Number(reader.int64()));
    return;
  }
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) into.push(Number(reader.int64()));
}

function readFloats(reader: BinaryReader, wireType: WireType, into: number[]): void {
  if (wireType !== WireType.LengthDelimited) {
    into.push(reader.float());
    return;
  }
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) into.push(reader.float());
}

/** @param read takes a field's value and answers true, or leaves it and answers false */
function visit(bytes: Uint8Array, read: Visit): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!read(field, reader, wireType)) reader.skip(wireType, field);
  }
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
