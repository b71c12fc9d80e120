import type { RoutedRequest } from '../../route/request.js';
import { headerBudgetsMs, parseGrpcTimeout } from '../../protocol/parameters.js';
import { OipFailure } from '../../protocol/service.js';

/*
 * What a request's head says of it, to who sees no body. Nothing is refused here: what is malformed is left for the pod to say so.
 */

export interface RequestHead {
  readonly isGrpc: boolean;
  /** Null: not an inference, or a stream of them; any pod will do. */
  readonly request: RoutedRequest | null;
}

/** Looks a header up by its lower-case name; the last value where there are several. */
export type HeaderLookup = (name: string) => string | undefined;

const REST_INFER = /^\/v2\/models\/([^/?#]{1,255})(?:\/versions\/(\d{1,64}))?\/infer\/?(?:[?#]|$)/;
const GRPC_INFER = '/inference.GRPCInferenceService/ModelInfer';

/** gRPC has the model's name in the body; these say it too: ours, that of ModelMesh, and that of the Gateway API's inference extension. */
const MODEL_HEADERS = ['x-sponge-model', 'mm-model', 'x-gateway-model-name'];
const VERSION_HEADER = 'x-sponge-model-version';
/** Of Triton's binary extension: what is behind the JSON is tensors, byte for byte. */
const JSON_LENGTH = 'inference-header-content-length';

export function readHead(header: HeaderLookup): RequestHead {
  const path = header(':path') ?? '';
  const isGrpc = (header('content-type') ?? '').startsWith('application/grpc');
  if (isGrpc) return { isGrpc, request: path === GRPC_INFER ? grpcRequest(header) : null };
  const match = header(':method') === 'POST' ? REST_INFER.exec(path) : null;
  const model = match === null ? null : decoded(match[1]!);
  if (model === null) return { isGrpc, request: null };
  return {
    isGrpc,
    request: { model, version: match![2] ?? null, budgetMs: budgetMs(header), inputBytes: inputBytes(header) },
  };
}

function grpcRequest(header: HeaderLookup): RoutedRequest {
  const name = MODEL_HEADERS.find((each) => header(each) !== undefined);
  const model = name === undefined ? null : header(name)!.slice(0, 255);
  const version = model === null ? null : (header(VERSION_HEADER)?.slice(0, 64) ?? null);
  return { model, version, budgetMs: budgetMs(header), inputBytes: null };
}

/** The tightest that is stated. */
function budgetMs(header: HeaderLookup): number | null {
  try {
    const stated = [...headerBudgetsMs(header)];
    const grpcTimeout = header('grpc-timeout');
    if (grpcTimeout !== undefined) stated.push(parseGrpcTimeout(grpcTimeout));
    return stated.length === 0 ? null : Math.min(...stated);
  } catch (error) {
    if (error instanceof OipFailure) return null;
    throw error;
  }
}

function inputBytes(header: HeaderLookup): number | null {
  const [bodyBytes, jsonBytes] = [header('content-length'), header(JSON_LENGTH)];
  if (bodyBytes === undefined || jsonBytes === undefined || header('content-encoding') !== undefined) return null;
  if (!/^\d{1,15}$/.test(bodyBytes) || !/^\d{1,15}$/.test(jsonBytes)) return null;
  const bytes = Number(bodyBytes) - Number(jsonBytes);
  return bytes > 0 ? bytes : null;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
