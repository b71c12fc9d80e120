import {
  ModelMetadataRequest,
  ModelMetadataResponse,
  RepositoryIndexRequest,
  RepositoryIndexResponse,
} from '../protocol/grpc/generated/open_inference.js';
import { modelPath } from '../protocol/client/rest-message.js';
import { tensorSpecs } from '../protocol/client/tensor-specs.js';
import { noiseInputs } from '../protocol/noise-inputs.js';
import type { TensorSpec } from '../scheduler/domain/tensor.js';
import { callGrpc } from './grpc-transport.js';
import type { DeadlinePlace, LoadTarget, Protocol } from './target.js';

/* From an address to a target: asks the server what it serves and what its model's inputs are. */

export interface TargetOptions {
  /** `http://host:port[/path]`; null for the port that Sponge has by default. */
  readonly url: string | null;
  readonly protocol: Protocol;
  /** Null: the only one that is served. */
  readonly model: string | null;
  readonly version: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly deadline: DeadlinePlace;
  /** The value of the header; absent: none is sent. */
  readonly authorization?: string;
}

/** @throws Error, one line with a remedy: nobody answers, no such model, a shape that is not known */
export async function findTarget(options: TargetOptions): Promise<LoadTarget> {
  const { protocol, version, shapes, deadline, authorization = null } = options;
  const url = parseUrl(options.url ?? `http://127.0.0.1:${protocol === 'grpc' ? 8001 : 8000}`);
  const place = {
    protocol,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    basePath: url.pathname.replace(/\/$/, ''),
    authorization,
  };
  const server: ModelDirectory =
    protocol === 'grpc' ? grpcDirectory(place) : restDirectory(url.origin + place.basePath, authorization);
  const model = options.model ?? (await onlyModel(server));
  const specs = await server.inputs(model, version);
  return { ...place, model, version, deadline, inputs: noiseInputs(specs, shapes) };
}

interface ModelDirectory {
  models(): Promise<readonly string[]>;
  inputs(model: string, version: string): Promise<readonly TensorSpec[]>;
}

async function onlyModel(server: ModelDirectory): Promise<string> {
  const names = await server.models();
  if (names.length === 1) return names[0]!;
  throw new Error(
    names.length === 0
      ? 'the server lists no model; give --model'
      : `the server has ${names.join(', ')}; choose one with --model`,
  );
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'http:') return url;
  throw new Error(`--url ${text}: expected http://host:port; sponge load does not speak TLS`);
}

function restDirectory(base: string, authorization: string | null): ModelDirectory {
  const ask = async (path: string, method: 'GET' | 'POST'): Promise<unknown> => {
    const response = await fetch(base + path, {
      method,
      signal: AbortSignal.timeout(ASK_MS),
      headers: {
        ...(authorization === null ? {} : { authorization }),
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      },
      ...(method === 'POST' ? { body: '{}' } : {}),
    }).catch((error: unknown) => {
      throw new Error(`no server answers at ${base}; start one with "sponge serve", or give --url`, { cause: error });
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok) return body;
    const said = (body as { error?: unknown } | null)?.error;
    throw new Error(`${base}${path}: ${response.status} ${typeof said === 'string' ? said : response.statusText}`);
  };
  return {
    models: async () => namesOf(await ask('/v2/repository/index', 'POST')),
    inputs: async (model, version) => inputsOf(await ask(modelPath(model, version), 'GET'), model),
  };
}

const ASK_MS = 10_000;

function namesOf(index: unknown): readonly string[] {
  if (!Array.isArray(index)) return [];
  return [
    ...new Set(index.map((entry) => (entry as { name?: unknown }).name).filter((name) => typeof name === 'string')),
  ];
}

function grpcDirectory(place: Pick<LoadTarget, 'host' | 'port' | 'authorization'>): ModelDirectory {
  const ask = async (method: string, message: Uint8Array): Promise<Buffer> => {
    try {
      return await callGrpc(place, method, message);
    } catch (error) {
      const cause = (error as Error).message;
      const text = /^[A-Z\d_]+$/.test(cause)
        ? `no gRPC server answers at ${place.host}:${place.port} (${cause}); start one with "sponge serve", or give --url`
        : `${method}: ${cause}`;
      throw new Error(text, { cause: error });
    }
  };
  return {
    models: async () => {
      const request = RepositoryIndexRequest.encode({ repositoryName: '', ready: false }).finish();
      return namesOf(RepositoryIndexResponse.decode(await ask('RepositoryIndex', request)).models);
    },
    inputs: async (model, version) => {
      const request = ModelMetadataRequest.encode({ name: model, version }).finish();
      return inputsOf(ModelMetadataResponse.decode(await ask('ModelMetadata', request)), model);
    },
  };
}

function inputsOf(metadata: unknown, model: string): readonly TensorSpec[] {
  const inputs = tensorSpecs(model, (metadata as { readonly inputs?: unknown } | null)?.inputs);
  if (inputs.length === 0) throw new Error(`model ${model} has no inputs: what --url answers is no server of models`);
  return inputs;
}
