import { ModelInferRequest, ModelInferResponse } from '../grpc/generated/open_inference.js';
import { PREFIX_BYTES, writePrefix } from '../grpc/framing.js';
import { inferParameters } from '../grpc/parameters.js';
import type { Asked, Parameters } from './rest-message.js';

/* The same over gRPC: tensors raw, in one message with its prefix, ready to be sent. */

/** Where the calls of the protocol's service are. */
export const GRPC_SERVICE = '/inference.GRPCInferenceService';

/** Requests that differ in their parameters alone share `rest`. */
export interface GrpcMessage {
  /** With the prefix of the whole message. */
  readonly head: Buffer;
  readonly rest: Uint8Array;
}

const NOTHING: ModelInferRequest = {
  modelName: '',
  modelVersion: '',
  id: '',
  parameters: {},
  inputs: [],
  outputs: [],
  rawInputContents: [],
};

/** @returns a request with these parameters, whose tensors are copied once, now */
export function grpcMessages(
  model: string,
  version: string,
  { inputs, outputNames = [] }: Asked,
): (parameters: Parameters) => GrpcMessage {
  const rest = ModelInferRequest.encode({
    ...NOTHING,
    rawInputContents: inputs.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  }).finish();
  const described = inputs.map(({ name, datatype, shape }) => ({
    name,
    datatype,
    shape: [...shape],
    parameters: {},
    contents: undefined,
  }));
  return (parameters) => {
    // Two messages one after the other are one message with the fields of both (protobuf.dev, Encoding).
    const fields = ModelInferRequest.encode({
      ...NOTHING,
      modelName: model,
      modelVersion: version,
      parameters: inferParameters(parameters),
      inputs: described,
      outputs: outputNames.map((name) => ({ name, parameters: {} })),
    }).finish();
    const head = Buffer.allocUnsafe(PREFIX_BYTES + fields.length);
    writePrefix(head, 0, fields.length + rest.length);
    head.set(fields, PREFIX_BYTES);
    return { head, rest };
  };
}

/** What an answer says beside its outputs. @param message without its prefix @throws Error where it is none */
export function answeredParameters(message: Uint8Array): Parameters {
  const entries = Object.entries(ModelInferResponse.decode(message).parameters);
  return Object.fromEntries(
    entries.flatMap(([name, { parameterChoice }]) =>
      parameterChoice === undefined ? [] : [[name, parameterChoice.value]],
    ),
  );
}
