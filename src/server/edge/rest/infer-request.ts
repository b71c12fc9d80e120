/*
 * The bytes of an inference request → tensors and parameters. Pure, so that large JSON can be decoded on another thread
 * (`json-worker.ts`). What depends on the model is checked afterwards (`validate.ts`), but for a raw body, whose shape
 * only the model tells.
 */
import { isUtf8 } from 'node:buffer';
import { ELEMENT_BYTES, requiredInputs, shapeText } from '../../../scheduler/domain/tensor.js';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import { readClassCount } from '../../../protocol/classification.js';
import { UNSUPPORTED_PARAMETERS, unsupportedParameter } from '../../../protocol/parameters.js';
import { invalid, OipFailure } from '../../../protocol/service.js';
import type { ModelEntry, ParameterValue } from '../../../protocol/service.js';
import { quoteNonFinite } from '../../../protocol/json/non-finite.js';
import { scanJsonData } from '../../../protocol/json/read-data.js';
import { checkElement, encodeJsonData } from '../../../protocol/tensor-codec.js';
import { checkDatatype, checkLayout, checkShape, packBytes } from '../../../protocol/tensor-layout.js';
import type { ArrayPlace, JsonOutline } from './json-outline.js';

export interface RequestedOutput {
  readonly name: string;
  /** Absent: as `DecodedInfer.isBinaryByDefault` says. */
  readonly isBinary?: boolean;
  /** Its largest classes instead, of each row so many. */
  readonly classCount?: number;
}

export interface DecodedInfer {
  readonly id?: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** In the order sent; their data may be views of the body. */
  readonly inputs: readonly Tensor[];
  /** In the order asked; empty for all. */
  readonly outputs: readonly RequestedOutput[];
  readonly isBinaryByDefault: boolean;
}

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * A JSON body, or a JSON header and the binary tensors behind it (Triton's binary tensor data extension).
 * The arrays of data are read where they lie; the rest, in which a number stands for each of them, is `JSON.parse`d.
 * @param headerBytes length of the JSON part; null when the body is all JSON
 * @param outline of the JSON part
 * @throws OipFailure `invalid`, `unsupported`
 */
export function decodeInferBody(
  body: Uint8Array,
  headerBytes: number | null,
  { dataArrays }: JsonOutline,
): DecodedInfer {
  if (headerBytes !== null && headerBytes > body.length) {
    throw invalid(`Inference-Header-Content-Length is ${headerBytes}, the body has ${body.length} bytes`);
  }
  const text = headerBytes === null ? body : body.subarray(0, headerBytes);
  const data = new DataArrays(text, dataArrays);
  try {
    // Not a part of a Buffer, whose `slice` does not copy as that of a Uint8Array does.
    const tail = new Uint8Array(body.buffer, body.byteOffset + text.length, body.length - text.length);
    const decoded = readRequest(data.parseRest(), data, tail);
    if (!data.areAllRead()) data.parseAll();
    return decoded;
  } catch (error) {
    // That the text is no JSON is said before anything that is wrong with what it says.
    if (error instanceof OipFailure) data.parseAll();
    throw error;
  }
}

function readRequest(json: unknown, data: DataArrays, tail: Uint8Array): DecodedInfer {
  if (!isObject(json)) throw invalid('request body must be a JSON object');
  const { id } = json;
  if (id !== undefined && typeof id !== 'string') throw invalid('id must be a string');
  const parameters = readParameters('request', json['parameters']);
  return {
    ...(id === undefined ? {} : { id }),
    parameters,
    inputs: readInputs(json['inputs'], data, tail),
    outputs: readOutputs(json['outputs']),
    isBinaryByDefault: readFlag('request', parameters, 'binary_data_output') ?? false,
  };
}

/** The arrays that are read apart from the JSON that they lie in. */
class DataArrays {
  private readonly text: Buffer;
  private readonly places: readonly ArrayPlace[];
  private readCount = 0;
  private whole: { readonly json: unknown } | null = null;

  constructor(text: Uint8Array, places: readonly ArrayPlace[]) {
    this.text = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    this.places = places;
  }

  /** The JSON, with `[i]` for the i-th array. No other array can be in its place, since all are taken out. */
  parseRest(): unknown {
    const { text } = this;
    if (!isUtf8(text)) throw notUtf8();
    let rest = '';
    let from = 0;
    this.places.forEach(({ start, end }, index) => {
      rest += `${text.toString('utf8', from, start)}[${index}]`;
      from = end;
    });
    return parseText(rest + text.toString('utf8', from));
  }

  /** The JSON with all that is in it. */
  parseAll(): unknown {
    this.whole ??= { json: parseJson(this.text) };
    return this.whole.json;
  }

  /** @param sent what `parseRest` has for the input's data; anything but an array is what was sent */
  read({ name, datatype, shape }: Omit<Tensor, 'data'>, sent: unknown, inputIndex: number): Uint8Array {
    if (!Array.isArray(sent)) return encodeJsonData(name, datatype, shape, sent);
    this.readCount += 1;
    const place = this.places[sent[0] as number]!;
    if (datatype === 'BYTES' || datatype === 'FP16' || datatype === 'BF16') {
      return encodeJsonData(name, datatype, shape, parseJson(this.text.subarray(place.start, place.end)));
    }
    const scanned = scanJsonData(datatype, shape, this.text, place);
    if (scanned.kind === 'read') return scanned.data;
    const { inputs } = this.parseAll() as { inputs: readonly { data: unknown }[] };
    checkElement(name, datatype, shape, inputs[inputIndex]!.data, scanned.index);
    throw new Error(`input ${inputIndex}: its data were not understood`);
  }

  /** Not if a key was there twice: the last of its kind counts. */
  areAllRead(): boolean {
    return this.readCount === this.places.length;
  }
}

/**
 * A body that is nothing but the only input's data (header length 0), as in Triton: one item where the model is
 * batchable, and at most one other axis open, which the byte count tells. For BYTES the body is the one element. Inputs
 * that may be left out are.
 * Results come back binary.
 * @throws OipFailure `invalid`
 */
export function decodeRawBody(model: ModelEntry, body: Uint8Array): DecodedInfer {
  const inputs = model.signature === null ? [] : requiredInputs(model.signature);
  const spec = inputs[0];
  if (spec === undefined || inputs.length > 1) {
    throw invalid(
      `Inference-Header-Content-Length 0 needs a model with one input, '${model.name}' has ${inputs.length}`,
    );
  }
  if (spec.shape === null) {
    throw invalid(`input '${spec.name}': its rank is not declared, so its shape cannot be told from a raw body`);
  }
  const shape = model.maxBatchSize > 0 ? [1, ...spec.shape.slice(1)] : [...spec.shape];
  const openAxes = shape.flatMap((size, axis) => (size === -1 ? [axis] : []));
  const knownCount = shape.reduce((count, size) => (size === -1 ? count : count * size), 1);
  const isBytes = spec.datatype === 'BYTES';
  const isUnclear = openAxes.length > 1 || (openAxes.length > 0 && (isBytes || knownCount === 0));
  if (isUnclear || (isBytes && knownCount !== 1)) {
    throw invalid(`input '${spec.name}': its shape ${shapeText(spec.shape)} cannot be told from a raw body`);
  }
  const openAxis = openAxes[0];
  if (openAxis !== undefined) {
    shape[openAxis] = Math.floor(body.length / (knownCount * ELEMENT_BYTES[spec.datatype]));
  }
  const tensor: Tensor = {
    name: spec.name,
    datatype: spec.datatype,
    shape: checkShape(spec.name, shape),
    data: isBytes ? packBytes([body]) : new Uint8Array(body.buffer, body.byteOffset, body.byteLength),
  };
  checkLayout(tensor);
  return { parameters: {}, inputs: [tensor], outputs: [], isBinaryByDefault: true };
}

/** @throws OipFailure `invalid`; says nothing of where, since the place would quote the body */
export function parseJson(bytes: Uint8Array): unknown {
  if (!isUtf8(bytes)) throw notUtf8();
  return parseText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return parsePythons(text);
  }
}

/** JSON as Python's own encoder writes it: with bare NaN and infinities, which become their strings. */
function parsePythons(text: string): unknown {
  try {
    return JSON.parse(quoteNonFinite(text)) as unknown;
  } catch {
    throw invalid('request body is not valid JSON');
  }
}

function notUtf8(): OipFailure {
  return invalid('request body is not valid JSON: it is not UTF-8');
}

function readInputs(inputs: unknown, data: DataArrays, tail: Uint8Array): readonly Tensor[] {
  if (!Array.isArray(inputs)) throw invalid('inputs must be an array');
  let offset = 0;
  const tensors = inputs.map((input: unknown, inputIndex): Tensor => {
    if (!isObject(input)) throw invalid('every input must be an object');
    const name = readName('input', input);
    const datatype = checkDatatype(name, input['datatype']);
    const shape = checkShape(name, input['shape']);
    const byteCount = readBinarySize(name, input);
    if (byteCount === null) {
      const tensor = { name, datatype, shape };
      return { ...tensor, data: data.read(tensor, input['data'], inputIndex) };
    }
    if (input['data'] !== undefined) throw invalid(`input '${name}': has both data and binary_data_size`);
    if (byteCount > tail.length - offset) {
      throw invalid(`input '${name}': binary_data_size is ${byteCount}, ${tail.length - offset} bytes are left`);
    }
    const tensor: Tensor = { name, datatype, shape, data: tail.subarray(offset, offset + byteCount) };
    offset += byteCount;
    checkLayout(tensor);
    return tensor;
  });
  if (offset < tail.length) {
    throw invalid(`${tail.length - offset} bytes behind the JSON header belong to no input's binary_data_size`);
  }
  return tensors;
}

function readBinarySize(name: string, input: JsonObject): number | null {
  const parameters = readParameters(`input '${name}'`, input['parameters']);
  const size = parameters['binary_data_size'];
  if (size === undefined) return null;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`input '${name}': binary_data_size must be an integer ≥ 0`);
  }
  return size;
}

function readOutputs(outputs: unknown): readonly RequestedOutput[] {
  if (outputs === undefined) return [];
  if (!Array.isArray(outputs)) throw invalid('outputs must be an array');
  return outputs.map((output: unknown): RequestedOutput => {
    if (!isObject(output)) throw invalid('every output must be an object');
    const name = readName('output', output);
    const owner = `output '${name}'`;
    const parameters = readParameters(owner, output['parameters']);
    const isBinary = readFlag(owner, parameters, 'binary_data');
    const classCount = readClassCount(name, parameters['classification']);
    return {
      name,
      ...(isBinary === undefined ? {} : { isBinary }),
      ...(classCount === undefined ? {} : { classCount }),
    };
  });
}

function readParameters(owner: string, parameters: unknown): Readonly<Record<string, ParameterValue>> {
  if (parameters === undefined) return {};
  if (!isObject(parameters)) throw invalid(`${owner}: parameters must be an object`);
  for (const [name, value] of Object.entries(parameters)) {
    if (UNSUPPORTED_PARAMETERS.has(name)) throw unsupportedParameter(owner, name);
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      throw invalid(`${owner}: parameter '${name.slice(0, 64)}' must be a string, a number or a boolean`);
    }
  }
  return parameters as Record<string, ParameterValue>;
}

function readFlag(
  owner: string,
  parameters: Readonly<Record<string, ParameterValue>>,
  name: string,
): boolean | undefined {
  const value = parameters[name];
  if (value !== undefined && typeof value !== 'boolean') throw invalid(`${owner}: ${name} must be true or false`);
  return value;
}

function readName(owner: 'input' | 'output', object: JsonObject): string {
  const { name } = object;
  if (typeof name !== 'string') throw invalid(`every ${owner} needs a name, a string`);
  return name;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
