import { GRPC_SERVICE, grpcMessages } from '../../src/protocol/client/grpc-message.js';
import { binaryMessages, inferPath } from '../../src/protocol/client/rest-message.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';

/** One inference request in each of its forms, ready to be sent many times. */
export interface HttpMessage {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

type Input = Pick<Tensor, 'name' | 'datatype' | 'shape'>;

/** Tensors as bytes behind the JSON, both ways. */
export function binaryRequest(model: string, input: Input, data: Uint8Array): HttpMessage {
  const { headers, head, rest } = binaryMessages({ inputs: [{ ...input, data }] })({});
  return { path: inferPath(model), headers, body: Buffer.concat([head, rest]) };
}

/** Numbers as JavaScript writes them, which is what most clients of JSON send. */
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

export const GRPC_PATH = `${GRPC_SERVICE}/ModelInfer`;

/** A message with gRPC's prefix. */
export function grpcRequest(model: string, input: Input, data: Uint8Array): Uint8Array {
  const { head, rest } = grpcMessages(model, '', { inputs: [{ ...input, data }] })({});
  return Buffer.concat([head, rest]);
}
