import { ModelInferRequest } from '../../src/protocol/grpc/generated/open_inference.js';
import type { Datatype } from '../../src/scheduler/domain/tensor.js';

/** One inference request in each of its forms, ready to be sent many times. */
export interface HttpMessage {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

interface Input {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

const inferPath = (model: string): string => `/v2/models/${model}/infer`;

/** Tensors as bytes behind the JSON, both ways. The header is padded so that they begin at a multiple of 8. */
export function binaryRequest(model: string, input: Input, data: Uint8Array): HttpMessage {
  const json = JSON.stringify({
    parameters: { binary_data_output: true },
    inputs: [{ ...input, parameters: { binary_data_size: data.byteLength } }],
  });
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  return {
    path: inferPath(model),
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(header.byteLength),
    },
    body: Buffer.concat([header, data]),
  };
}

export function jsonRequest(
  model: string,
  input: Input,
  data: readonly number[],
  headers: Readonly<Record<string, string>> = {},
): HttpMessage {
  return {
    path: inferPath(model),
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify({ inputs: [{ ...input, data }] })),
  };
}

export const GRPC_PATH = '/inference.GRPCInferenceService/ModelInfer';

/** A message of gRPC's framing: 1 byte uncompressed, 4 bytes length, big-endian, then the encoded request. */
export function grpcRequest(model: string, input: Input, data: Uint8Array): Uint8Array {
  const message = ModelInferRequest.encode({
    modelName: model,
    modelVersion: '',
    id: '',
    parameters: {},
    inputs: [{ ...input, shape: [...input.shape], parameters: {}, contents: undefined }],
    outputs: [],
    rawInputContents: [Buffer.from(data.buffer, data.byteOffset, data.byteLength)],
  }).finish();
  const frame = Buffer.alloc(5 + message.byteLength);
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, 5);
  return frame;
}
