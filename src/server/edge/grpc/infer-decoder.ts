/*
 * One encoded `ModelInferRequest` → what it says, in the core's words. Fields are those of proto/open_inference.proto.
 *
 * Read by hand where the generated codec would let a stranger's message grow: tensor contents (see typed-contents.ts)
 * and repeated fields, whose entries are counted. Raw tensors are views of the message, not copies.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import { readClassCount, type ClassifiedOutput } from '../../../protocol/classification.js';
import { UNSUPPORTED_PARAMETERS, unsupportedParameter } from '../../../protocol/parameters.js';
import { invalid, OipFailure } from '../../../protocol/service.js';
import type { ParameterValue } from '../../../protocol/service.js';
import { checkDatatype, checkLayout, checkShape } from '../../../protocol/tensor-layout.js';
import { decodeTypedContents } from './typed-contents.js';

/** Fields in one message, where each entry of a repeated field counts. The largest public models have some tens of inputs. */
const MAX_FIELDS = 4096;

/** Sizes kept of a shape: more than `checkShape` takes, so that it is the one that refuses. */
const MAX_SHAPE_SIZES = 64;

export interface DecodedInferRequest {
  readonly modelName: string;
  /** Empty: the latest. */
  readonly modelVersion: string;
  /** Empty: none. */
  readonly id: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** Each with data that fits its datatype and shape. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly ClassifiedOutput[];
}

/**
 * @param maxTypedBytes of all typed tensors once they are in the binary layout, which may take more than the message
 * @throws OipFailure `invalid` for a malformed message or tensor, `too_large`, `unsupported`
 */
export function decodeInferRequest(message: Uint8Array, maxTypedBytes: number): DecodedInferRequest {
  // Views of a Buffer would be Buffers, whose `slice` does not copy as that of a Uint8Array does.
  const fields = readMessage(new Uint8Array(message.buffer, message.byteOffset, message.byteLength));
  return {
    modelName: fields.modelName,
    modelVersion: fields.modelVersion,
    id: fields.id,
    parameters: fields.parameters,
    inputs: tensorsOf(fields, maxTypedBytes),
    outputs: fields.outputs.map(requestedOutput),
  };
}

/** Of a message of which only the beginning has come: the model's name comes first, as encoders write it; null where it does not. */
export function modelNameIn(beginning: Uint8Array): string | null {
  const reader = new BinaryReader(beginning);
  try {
    const [fieldNumber, wireType] = reader.tag();
    return fieldNumber === 1 && wireType === WireType.LengthDelimited ? reader.string() : null;
  } catch {
    return null;
  }
}

function requestedOutput({ name, parameters }: OutputFields): ClassifiedOutput {
  checkParameterNames(`output '${name}'`, [...parameters.keys()]);
  const classCount = readClassCount(name, parameters.get('classification'));
  return classCount === undefined ? { name } : { name, classCount };
}

interface InputFields {
  name: string;
  datatype: string;
  shape: number[];
  contents: Uint8Array[];
  parameterNames: string[];
}

interface OutputFields {
  name: string;
  readonly parameters: Map<string, ParameterValue>;
}

interface RequestFields {
  modelName: string;
  modelVersion: string;
  id: string;
  parameters: Record<string, ParameterValue>;
  inputs: InputFields[];
  outputs: OutputFields[];
  rawContents: Uint8Array[];
}

function tensorsOf({ inputs, rawContents }: RequestFields, maxTypedBytes: number): readonly Tensor[] {
  if (rawContents.length > 0 && rawContents.length !== inputs.length) {
    throw invalid(`raw_input_contents has ${rawContents.length} entries for ${inputs.length} inputs`);
  }
  let typedBytesLeft = maxTypedBytes;
  return inputs.map((input, index) => {
    const { name, contents } = input;
    checkParameterNames(`input '${name}'`, input.parameterNames);
    const raw = rawContents[index];
    if (raw !== undefined && contents.length > 0) {
      throw invalid(`input '${name}': contents and raw_input_contents exclude each other`);
    }
    const datatype = checkDatatype(name, input.datatype);
    const shape = checkShape(name, input.shape);
    const data = raw ?? wellFormed(() => decodeTypedContents(name, datatype, contents, typedBytesLeft));
    if (raw === undefined) typedBytesLeft -= data.length;
    const tensor: Tensor = { name, datatype, shape, data };
    checkLayout(tensor);
    return tensor;
  });
}

function checkParameterNames(owner: string, names: readonly string[]): void {
  const unsupported = names.find((name) => UNSUPPORTED_PARAMETERS.has(name));
  if (unsupported === undefined) return;
  throw unsupportedParameter(owner, unsupported);
}

function readMessage(message: Uint8Array): RequestFields {
  const parameters = new Map<string, ParameterValue>();
  const fields: RequestFields = {
    modelName: '',
    modelVersion: '',
    id: '',
    parameters: {},
    inputs: [],
    outputs: [],
    rawContents: [],
  };
  wellFormed(() =>
    forEachField(message, {
      onDelimited(fieldNumber, payload) {
        if (fieldNumber === 1) fields.modelName = text(payload);
        else if (fieldNumber === 2) fields.modelVersion = text(payload);
        else if (fieldNumber === 3) fields.id = text(payload);
        else if (fieldNumber === 4) readParameter(payload, parameters);
        else if (fieldNumber === 5) fields.inputs.push(readInput(payload));
        else if (fieldNumber === 6) fields.outputs.push(readOutput(payload));
        else if (fieldNumber === 7) fields.rawContents.push(payload);
      },
    }),
  );
  // Defines each as its own property, whatever its name.
  fields.parameters = Object.fromEntries(parameters);
  return fields;
}

function readInput(message: Uint8Array): InputFields {
  const input: InputFields = { name: '', datatype: '', shape: [], contents: [], parameterNames: [] };
  forEachField(message, {
    onDelimited(fieldNumber, payload) {
      if (fieldNumber === 1) input.name = text(payload);
      else if (fieldNumber === 2) input.datatype = text(payload);
      else if (fieldNumber === 3) readPackedSizes(payload, input.shape);
      else if (fieldNumber === 4) input.parameterNames.push(readName(payload));
      else if (fieldNumber === 5) input.contents.push(payload);
    },
    onVarint(fieldNumber, value) {
      if (fieldNumber === 3) pushSize(input.shape, value);
    },
  });
  return input;
}

function readOutput(message: Uint8Array): OutputFields {
  const output: OutputFields = { name: '', parameters: new Map() };
  forEachField(message, {
    onDelimited(fieldNumber, payload) {
      if (fieldNumber === 1) output.name = text(payload);
      else if (fieldNumber === 2) readParameter(payload, output.parameters);
    },
  });
  return output;
}

/** The key of a parameter. */
function readName(message: Uint8Array): string {
  let name = '';
  forEachField(message, {
    onDelimited(fieldNumber, payload) {
      if (fieldNumber === 1) name = text(payload);
    },
  });
  return name;
}

/** An entry of `map<string, InferParameter>`: a message with the key as field 1 and the value as field 2. */
function readParameter(entry: Uint8Array, parameters: Map<string, ParameterValue>): void {
  let key = '';
  let value: ParameterValue | undefined;
  forEachField(entry, {
    onDelimited(fieldNumber, payload) {
      if (fieldNumber === 1) key = text(payload);
      else if (fieldNumber === 2) value = readParameterValue(payload);
    },
  });
  if (value !== undefined) parameters.set(key, value);
}

/** The value of an `InferParameter`; undefined when it carries none. Integers beyond ±(2^53 − 1) become their digits. */
function readParameterValue(message: Uint8Array): ParameterValue | undefined {
  let value: ParameterValue | undefined;
  forEachField(message, {
    onDelimited(fieldNumber, payload) {
      if (fieldNumber === 3) value = text(payload);
    },
    onVarint(fieldNumber, varint) {
      if (fieldNumber === 1) value = varint !== 0n;
      else if (fieldNumber === 2) value = exactNumber(varint);
      else if (fieldNumber === 5) value = exactNumber(BigInt.asUintN(64, varint));
    },
    onDouble(fieldNumber, double) {
      if (fieldNumber === 4) value = double;
    },
  });
  return value;
}

function exactNumber(integer: bigint): number | string {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer.toString();
}

function readPackedSizes(payload: Uint8Array, shape: number[]): void {
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len && shape.length < MAX_SHAPE_SIZES) pushSize(shape, BigInt(reader.int64()));
}

/** A size that no safe integer can hold stays one that `checkShape` refuses. */
function pushSize(shape: number[], size: bigint): void {
  if (shape.length < MAX_SHAPE_SIZES) shape.push(Number(size));
}

interface FieldVisitor {
  /** A length-delimited field: text, bytes, a message or packed numbers. */
  onDelimited(fieldNumber: number, payload: Uint8Array): void;
  /** As int64. */
  onVarint?(fieldNumber: number, value: bigint): void;
  onDouble?(fieldNumber: number, value: number): void;
}

/** Visits the fields of an encoded message in order; those of other wire types are skipped. */
function forEachField(message: Uint8Array, visitor: FieldVisitor): void {
  const reader = new BinaryReader(message);
  for (let count = 1; reader.pos < reader.len; count++) {
    if (count > MAX_FIELDS) throw invalid(`a message has more than ${MAX_FIELDS} fields`);
    const [fieldNumber, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) visitor.onDelimited(fieldNumber, reader.bytes());
    else if (wireType === WireType.Varint && visitor.onVarint !== undefined)
      visitor.onVarint(fieldNumber, BigInt(reader.int64()));
    else if (wireType === WireType.Bit64 && visitor.onDouble !== undefined)
      visitor.onDouble(fieldNumber, reader.double());
    else reader.skip(wireType, fieldNumber);
  }
}

function text(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
}

/** Whatever goes wrong in reading the wire format is the message's fault. */
function wellFormed<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (error instanceof OipFailure) throw error;
    throw invalid('malformed message: not an encoded inference.ModelInferRequest');
  }
}
