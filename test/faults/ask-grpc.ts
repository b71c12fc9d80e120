import { credentials, Metadata, status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import type {
  InferParameter,
  ModelInferRequest,
  ModelInferResponse,
  ModelStreamInferResponse,
} from '../../src/protocol/grpc/generated/open_inference.js';
import type { Datatype, Tensor } from '../../src/scheduler/domain/tensor.js';
import { GRPCInferenceServiceClient } from '../fixtures/grpc-stubs.js';
import { stringsOf } from './ask-rest.js';
import { parametersOf, type Ask, type Reply, type ClientRequest } from './client-request.js';

/* Asks over gRPC, by gRPC's own library: calls with raw or typed tensors, and one stream on which many requests are under way. */

type Stream = ClientDuplexStream<ModelInferRequest, ModelStreamInferResponse>;

/** Those of a stream that wait for its answers, in the order of their requests. */
interface OpenStream {
  readonly stream: Stream;
  readonly waiting: ((reply: Reply) => void)[];
}

export class GrpcClient {
  readonly #stub: GRPCInferenceServiceClient;
  #open: OpenStream | null = null;

  constructor(address: string) {
    this.#stub = new GRPCInferenceServiceClient(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
      // A request that is sent twice would be counted once here and twice there.
      'grpc.enable_retries': 0,
      // The server is to be found again soon after it was killed.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
    });
  }

  readonly raw: Ask = (clientRequest) => this.#call(clientRequest, encode(clientRequest, false));
  readonly typed: Ask = (clientRequest) => this.#call(clientRequest, encode(clientRequest, true));
  /** A member of a stream cannot leave alone: it stays. */
  readonly streamed: Ask = (clientRequest) =>
    new Promise((resolve) => {
      const { stream, waiting } = (this.#open ??= this.#openStream());
      waiting.push(resolve);
      stream.write(encode(clientRequest, false));
    });

  close(): void {
    this.#open?.stream.cancel();
    this.#stub.close();
  }

  #call(clientRequest: ClientRequest, message: ModelInferRequest): Promise<Reply> {
    return new Promise((resolve) => {
      let isLeaving = false;
      // By turns with the call's own deadline and by a reset: the server is told in another way.
      const leavesByDeadline = clientRequest.leaveAfterMs !== null && Number(clientRequest.id) % 2 === 0;
      const options = leavesByDeadline ? { deadline: Date.now() + clientRequest.leaveAfterMs } : {};
      const call = this.#stub.modelInfer(message, new Metadata(), options, (error, response) => {
        clearTimeout(timer);
        if (error === null) resolve(answerOf(response));
        else if (isLeaving || (leavesByDeadline && error.code === status.DEADLINE_EXCEEDED)) resolve({ kind: 'left' });
        else resolve(refusalOf(error));
      });
      const timer =
        clientRequest.leaveAfterMs === null || leavesByDeadline
          ? undefined
          : setTimeout(() => {
              isLeaving = true;
              call.cancel();
            }, clientRequest.leaveAfterMs);
    });
  }

  #openStream(): OpenStream {
    const stream = this.#stub.modelStreamInfer();
    const open: OpenStream = { stream, waiting: [] };
    stream.on('data', (message: ModelStreamInferResponse) => open.waiting.shift()?.(streamReply(message)));
    const end = (what: string): void => {
      if (this.#open === open) this.#open = null;
      for (const resolve of open.waiting.splice(0)) resolve({ kind: 'broken', what });
    };
    stream.on('error', (error: ServiceError) => end(`stream: ${error.code} ${error.details}`));
    stream.on('end', () => end('stream: ended'));
    return open;
  }
}

export function encode(clientRequest: ClientRequest, isTyped: boolean): ModelInferRequest {
  const { question, id } = clientRequest;
  const { inputs } = question;
  return {
    modelName: question.model,
    modelVersion: '',
    id,
    parameters: Object.fromEntries(
      Object.entries(parametersOf(clientRequest, true)).map(([name, value]) => [name, parameterOf(value)]),
    ),
    inputs: inputs.map((tensor) => ({
      name: tensor.name,
      datatype: tensor.datatype,
      shape: [...tensor.shape],
      parameters: {},
      contents: isTyped ? contentsOf(tensor) : undefined,
    })),
    outputs: (question.outputNames ?? []).map((name) => ({ name, parameters: {} })),
    rawInputContents: isTyped ? [] : inputs.map(({ data }) => Buffer.from(data)),
  };
}

function parameterOf(value: string | number | boolean): InferParameter {
  switch (typeof value) {
    case 'string':
      return { parameterChoice: { $case: 'stringParam', value } };
    case 'boolean':
      return { parameterChoice: { $case: 'boolParam', value } };
    default:
      return { parameterChoice: { $case: 'int64Param', value } };
  }
}

const NO_CONTENTS = {
  boolContents: [],
  intContents: [],
  int64Contents: [],
  uintContents: [],
  uint64Contents: [],
  fp32Contents: [],
  fp64Contents: [],
  bytesContents: [],
};

function contentsOf({ datatype, data }: Tensor) {
  const { buffer } = Uint8Array.from(data);
  if (datatype === 'FP32') return { ...NO_CONTENTS, fp32Contents: [...new Float32Array(buffer)] };
  if (datatype === 'BYTES') return { ...NO_CONTENTS, bytesContents: stringsOf(data) };
  return { ...NO_CONTENTS, int64Contents: [...new BigInt64Array(buffer)].map(Number) };
}

function answerOf({ id, outputs, rawOutputContents }: ModelInferResponse): Reply {
  const tensors = outputs.map(({ name, datatype, shape }, i) => ({
    name,
    datatype: datatype as Datatype,
    shape,
    data: rawOutputContents[i] ?? new Uint8Array(),
  }));
  return { kind: 'answered', id, outputs: tensors };
}

function refusalOf(error: ServiceError): Reply {
  const reason = error.metadata.get('x-sponge-reason')[0]?.toString() ?? null;
  const isOfTheConnection = reason === null && (error.code === status.UNAVAILABLE || error.code === status.INTERNAL);
  if (isOfTheConnection && /connect|ECONN|RST_STREAM|dropped|closed|GOAWAY/i.test(error.details)) {
    return { kind: 'broken', what: `gRPC ${error.code}: ${error.details.replaceAll(/\d+\.\d+\.\d+\.\d+:\d+/g, '…')}` };
  }
  return { kind: 'refused', status: { grpc: error.code }, reason, message: error.details };
}

function streamReply({ errorMessage, inferResponse }: ModelStreamInferResponse): Reply {
  if (errorMessage === '') return answerOf(inferResponse!);
  const reason = inferResponse?.parameters['x-sponge-reason']?.parameterChoice?.value;
  return {
    kind: 'refused',
    status: null,
    reason: typeof reason === 'string' ? reason : null,
    message: errorMessage,
  };
}
