/*
 * A result → the bytes of its HTTP body: JSON, or a JSON header and the binary outputs behind it, in order. Pure, so
 * that large JSON can be written on another thread (`json-worker.ts`).
 */
import { elementCount } from '../../../scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../../../scheduler/domain/tensor.js';
import { JsonText } from '../../../protocol/json/text.js';
import { writeJsonData } from '../../../protocol/json/write-data.js';
import type { ParameterValue } from '../../../protocol/service.js';

export interface OutputPart {
  readonly tensor: Tensor;
  readonly isBinary: boolean;
}

export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id?: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly outputs: readonly OutputPart[];
}

export interface EncodedResponse {
  readonly json: Uint8Array;
  /** The binary outputs, which follow the JSON; without any the body is all JSON. */
  readonly tails: readonly Uint8Array[];
}

/** Of an element, in units of about 0.1 µs; measured on Node 20. */
const ELEMENT_COST: Readonly<Record<Datatype, number>> = {
  BOOL: 0.3,
  ...{ UINT8: 0.2, INT8: 0.2, UINT16: 0.2, INT16: 0.2, UINT32: 0.2, INT32: 0.2 },
  ...{ UINT64: 0.9, INT64: 0.9 },
  ...{ FP16: 0, BF16: 0, FP32: 0.5, FP64: 1.3 },
  BYTES: 1,
};

/** Of a byte of the BYTES datatype: most are copied, and some take six characters. */
const BYTE_COST = 0.05;

/** @returns units of about 0.1 µs, as of `outlineJson` */
export function writingCost({ outputs }: InferResponse): number {
  let cost = 0;
  for (const { tensor, isBinary } of outputs) {
    if (isBinary) continue;
    const { datatype, shape, data } = tensor;
    cost += ELEMENT_COST[datatype] * elementCount(shape) + (datatype === 'BYTES' ? BYTE_COST * data.length : 0);
  }
  return cost;
}

/** @throws OipFailure `invalid` where an output was to be JSON and cannot be */
export function encodeInferResponse(response: InferResponse): EncodedResponse {
  const head = JSON.stringify({
    model_name: response.modelName,
    model_version: response.modelVersion,
    ...(response.id === undefined ? {} : { id: response.id }),
    parameters: response.parameters,
  });
  const text = new JsonText();
  text.write(`${head.slice(0, -1)},"outputs":[`);
  response.outputs.forEach((output, index) => {
    if (index > 0) text.write(',');
    writeOutput(text, output);
  });
  text.write(']}');
  const tails = response.outputs.filter((output) => output.isBinary).map((output) => output.tensor.data);
  return { json: text.bytes(), tails };
}

function writeOutput(text: JsonText, { tensor, isBinary }: OutputPart): void {
  const { name, datatype, shape, data } = tensor;
  if (isBinary) {
    text.write(JSON.stringify({ name, datatype, shape, parameters: { binary_data_size: data.length } }));
    return;
  }
  text.write(`${JSON.stringify({ name, datatype, shape }).slice(0, -1)},"data":`);
  writeJsonData(text, tensor);
  text.write('}');
}
