import * as ort from 'onnxruntime-node';
import { elementCount, type Datatype, type Tensor } from '../../../src/scheduler/domain/tensor.js';
import { bytesElements, strings } from './tensors.js';

/* ONNX Runtime alone, through its own Node binding: what Sponge's answers are compared with. */

const ORT_TYPES: Readonly<Record<Exclude<Datatype, 'BF16'>, ort.Tensor.Type>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
};
const DATATYPES: ReadonlyMap<string, Datatype> = new Map(
  Object.entries(ORT_TYPES).map(([datatype, type]) => [type, datatype as Datatype]),
);

const ARRAYS = {
  bool: Uint8Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** A session for as many runs as are asked for, each with one request's inputs. */
export class DirectRun {
  readonly #session: ort.InferenceSession;

  private constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  static async open(model: Uint8Array): Promise<DirectRun> {
    return new DirectRun(await ort.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 4 }));
  }

  async run(inputs: readonly Tensor[]): Promise<Tensor[]> {
    const outputs = await this.#session.run(Object.fromEntries(inputs.map((input) => [input.name, toOrt(input)])));
    return this.#session.outputNames.map((name) => fromOrt(name, outputs[name]!));
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

function toOrt(tensor: Tensor): ort.Tensor {
  const { datatype, shape, data } = tensor;
  if (datatype === 'BF16') throw new Error(`${tensor.name}: the Node binding has no BF16`);
  const type = ORT_TYPES[datatype];
  if (type === 'string') {
    const texts = bytesElements(tensor).map((element) => new TextDecoder('utf-8', { fatal: true }).decode(element));
    if (texts.some((text) => text.includes('\0'))) throw new Error(`${tensor.name}: the Node binding ends it at NUL`);
    return new ort.Tensor('string', texts, shape);
  }
  const array = new ARRAYS[type as keyof typeof ARRAYS](Uint8Array.from(data).buffer);
  return new ort.Tensor(type, array as never, shape);
}

function fromOrt(name: string, { type, dims, data }: ort.Tensor): Tensor {
  const datatype = DATATYPES.get(type);
  if (datatype === undefined) throw new Error(`${name}: the protocol has no ${type}`);
  if (Array.isArray(data)) return strings(name, dims, data);
  const bytes = Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  if (elementCount(dims) === 0 && bytes.byteLength > 0) throw new Error(`${name}: data of an empty tensor`);
  return { name, datatype, shape: [...dims], data: bytes };
}
