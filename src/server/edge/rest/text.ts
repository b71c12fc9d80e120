/*
 * Text over HTTP as others have it: OpenAI's `/v1/embeddings` and `/v1/models`, and `/v1/rerank` as Cohere and Jina do. Each is one call of a
 * text model, which is what `/v2` knows too: one request with one deadline, whatever the number of its texts.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { releaseAll, type Tensor } from '../../../scheduler/domain/tensor.js';
import { invalid, OipFailure } from '../../../protocol/service.js';
import type { InferCall, InferReply, ModelEntry } from '../../../protocol/service.js';
import { describeError, describeRefusal } from '../../../protocol/status.js';
import { readTextCall } from '../../../protocol/text/read-call.js';
import type { TextAnswer, TextCall, TextRoute } from '../../../protocol/text/text-call.js';
import type { TextModel } from '../../../protocol/text/text-model.js';
import { textWritingCost, writeTextAnswer } from '../../../protocol/text/write-answer.js';
import { ClientGone, decompress } from './body.js';
import { beginTrace, callBase, header } from './call-base.js';
import { sendError, takeBody } from './context.js';
import type { ReceivedBody, RestContext } from './context.js';
import { parseJson } from './infer-request.js';
import { OFFLOAD_JSON_BYTES, OFFLOAD_JSON_COST } from './infer.js';
import { outlineJson } from './json-outline.js';

const PATHS: readonly (readonly [path: string, route: TextRoute])[] = [
  ['/v1/embeddings', 'embeddings'],
  ['/v1/rerank', 'rerank'],
];

export function registerText(app: FastifyInstance, context: RestContext): void {
  const startedAtUnixSec = Math.floor(Date.now() / 1000);
  const describe = ({ name }: ModelEntry): object => ({
    ...{ id: name, object: 'model', created: startedAtUnixSec, owned_by: 'sponge' },
  });
  app.get('/v1/models', (_request, reply) => {
    const { service } = context;
    const names = new Set(service.models().flatMap(({ name, text }) => (text === undefined ? [] : [name])));
    return reply.send({ object: 'list', data: [...names].map((name) => describe(service.model(name))) });
  });
  app.get<{ Params: { readonly model: string } }>('/v1/models/:model', (request, reply) => {
    const model = context.service.model(request.params.model);
    if (model.text === undefined)
      throw new OipFailure('not_found', `model '${model.name}' takes no text: it is at /v2/models/${model.name}`);
    return reply.send(describe(model));
  });
  for (const [path, route] of PATHS) {
    app.post(path, (request, reply) => {
      const requestId = header(request, 'x-request-id');
      if (requestId !== undefined) void reply.header('x-request-id', requestId);
      answer(context, route, request, reply).catch((error: unknown) => {
        // Nobody is told whose client has left.
        if (request.callInProgress.aborted) reply.hijack();
        else void reply.send(error);
      });
      // By whoever has the answer.
      return undefined;
    });
  }
}

async function answer(
  context: RestContext,
  route: TextRoute,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { service, compat, intake } = context;
  const received = takeBody(request);
  if (received === undefined) throw invalid('request body is empty');
  beginTrace(service, request, received);
  const call = await decode(context, route, request, received);
  const model = service.model(call.model);
  checkCall(model, call);
  if (request.callInProgress.aborted) throw new ClientGone();
  const { inputs, ...asked } = call;
  const id = header(request, 'x-request-id');
  const replying = service.infer(
    {
      ...callBase(request, received, parametersOf(call)),
      ...{ modelName: model.name, inputs, outputNames: [] },
      ...(id === undefined ? {} : { id }),
    },
    request.callInProgress,
  );
  request.callInProgress.releaseReceipt();
  const result = await replying;
  if (result.kind === 'error') sendError(reply, describeError(result.error, compat), intake);
  else if (result.kind === 'refused')
    sendError(reply, describeRefusal(result.outcome, result.explanation, compat), intake);
  else await send(context, request, reply, asked, result);
}

function parametersOf(call: TextCall): InferCall['parameters'] {
  return call.kind === 'rerank' || call.promptName === null ? {} : { prompt_name: call.promptName };
}

async function decode(
  { limits, offload }: RestContext,
  route: TextRoute,
  request: FastifyRequest,
  { bytes, receipt }: ReceivedBody,
): Promise<TextCall> {
  const coding = header(request, 'content-encoding');
  const body = coding === undefined ? bytes : await decompress(bytes, coding, limits.maxJsonBytes, receipt);
  const isCheap = body.length < OFFLOAD_JSON_BYTES && outlineJson(body).cost < OFFLOAD_JSON_COST;
  if (isCheap) return readTextCall(route, parseJson(body));
  return offload.decodeText(route, body, request.callInProgress);
}

/** What only the model can tell. @throws OipFailure */
function checkCall(model: ModelEntry, call: TextCall): void {
  const text = textOf(model, call);
  if (call.textCount > text.maxTexts)
    throw invalid(`it has ${call.textCount} texts, and may have ${text.maxTexts}: send fewer at a time`);
  if (call.kind === 'rerank') return;
  const { dimensions, tokens } = call;
  const own = model.signature?.outputs.find(({ name }) => name === 'embedding')?.shape?.[1];
  if (dimensions !== null && dimensions !== own && !text.dimensions.includes(dimensions)) {
    const allowed = [...text.dimensions, ...(own === undefined || own === -1 ? [] : [own])];
    const remedy = text.dimensions.length === 0 ? ', as it is trained for no other' : '';
    throw invalid(`dimensions: model '${model.name}' has ${allowed.join(', ')}${remedy}`);
  }
  if (tokens === null) return;
  if (tokens.longest > text.maxTokens)
    throw invalid(`input: it has ${tokens.longest} tokens, and model '${model.name}' takes ${text.maxTokens}: cut it`);
  if (text.vocabularySize !== null && tokens.largestId >= text.vocabularySize)
    throw invalid(
      `input: there is no token ${tokens.largestId}, the vocabulary of model '${model.name}' has ${text.vocabularySize}: use its own tokenizer`,
    );
}

function textOf({ name, text, signature, state, stateReason }: ModelEntry, { kind }: TextCall): TextModel {
  if (text === undefined && signature === null)
    throw new OipFailure('unavailable', `model '${name}' is ${state}${stateReason === '' ? '' : `: ${stateReason}`}`);
  if (text === undefined)
    throw invalid(`model '${name}' takes tensors and no text: ask it at /v2/models/${name}/infer`);
  const path = text.task === 'embed' ? '/v1/embeddings' : '/v1/rerank';
  if ((text.task === 'embed') !== (kind === 'embeddings'))
    throw invalid(`model '${name}' is for ${path}: ask it there`);
  return text;
}

async function send(
  { offload, limits }: RestContext,
  request: FastifyRequest,
  reply: FastifyReply,
  asked: Omit<TextCall, 'inputs'>,
  { outputs }: Extract<InferReply, { kind: 'ok' }>,
): Promise<void> {
  const { callInProgress } = request;
  try {
    if (callInProgress.aborted) throw new ClientGone();
    const made = answerOf(asked as TextCall, outputs);
    const json =
      textWritingCost(made) < OFFLOAD_JSON_COST
        ? writeTextAnswer(made)
        : await offload.encodeText(made, callInProgress);
    // A client that stops reading would keep its answer in memory, and its call in progress, for ever.
    reply.raw.setTimeout(limits.bodyTimeoutMs);
    void reply.header('content-type', 'application/json').send(json);
  } finally {
    releaseAll(outputs);
  }
}

function answerOf(call: TextCall, outputs: readonly Tensor[]): TextAnswer {
  const named = (name: string): Tensor => outputs.find((tensor) => tensor.name === name)!;
  const { model } = call;
  const tokenCount = sumOf(named('token_count'));
  if (call.kind === 'embeddings') {
    const { encoding, dimensions } = call;
    return { kind: 'embeddings', model, vectors: named('embedding'), encoding, dimensions, tokenCount };
  }
  const { topCount, documents } = call;
  return { kind: 'rerank', id: randomUUID(), model, scores: named('score'), topCount, documents, tokenCount };
}

/** Of INT32. */
function sumOf({ data }: Tensor): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let sum = 0;
  for (let offset = 0; offset < data.byteLength; offset += 4) sum += view.getInt32(offset, true);
  return sum;
}
