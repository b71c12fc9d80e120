import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeStrings } from '../../../src/scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { binaryOutputs, floatsOf, GrpcClient, grpcRequest, http, inferBinary } from '../server/clients.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import {
  DIMENSION,
  embedder,
  idOf,
  idsOf,
  leakyEmbedder,
  rowOf,
  scoreOf,
  scorer,
  tokenizerJson,
  vectorOf,
  VOCABULARY_SIZE,
  writeTextModel,
} from './tiny-text.js';

/*
 * Models of text as a user has them, a tokenizer beside a model and nothing else: what they answer is worked out here from their tables.
 */

const bench = new TestBench();
afterAll(() => bench.close());

interface Embeddings {
  readonly data: readonly { readonly index: number; readonly embedding: number[] | string }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
  readonly model: string;
}
interface Ranking {
  readonly results: readonly {
    readonly index: number;
    readonly relevance_score: number;
    readonly document?: { text: string };
  }[];
  readonly usage: { readonly total_tokens: number };
}
interface Failure {
  readonly error: Readonly<Record<string, string | number | null>>;
}

interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

async function post<Body>(
  server: RunningServer,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const response = await fetch(`${server.rest}${path}`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
}

const embed = async (server: RunningServer, input: unknown, more: object = {}): Promise<Embeddings> => {
  const { status, body } = await post<Embeddings>(server, '/v1/embeddings', { model: 'words', input, ...more });
  expect(status, JSON.stringify(body).slice(0, 300)).toBe(200);
  return body;
};

const failing = async (server: RunningServer, path: string, body: unknown, headers = {}): Promise<Answer<Failure>> =>
  post<Failure>(server, path, body, headers);

function expectVector(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(Math.abs(actual[i]! - value)).toBeLessThan(1e-5));
}

const texts = (name: string, ...values: readonly string[]): Tensor => ({
  ...{ name, datatype: 'BYTES', shape: [values.length], data: encodeStrings(values) },
});

describe('a server of text', () => {
  let server: RunningServer;
  beforeAll(async () => {
    writeTextModel(bench, 'all/words', embedder());
    writeTextModel(
      bench,
      'all/cut',
      embedder(),
      'text: { max_tokens: 8, dimensions: [2], pooling: cls, normalize: false }\n',
    );
    writeTextModel(bench, 'all/leaky', leakyEmbedder());
    writeTextModel(bench, 'all/rank', scorer(), 'text: { task: rerank }\n');
    writeTextModel(bench, 'all/likely', scorer(), 'text: { task: rerank, activation: sigmoid }\n');
    writeTextModel(bench, 'all/plain', embedder(), 'text: false\n');
    writeTextModel(bench, 'all/wrong', identity('FP32'));
    bench.file('all/pooled/onnx/model.onnx', embedder().toModel());
    bench.file('all/pooled/tokenizer.json', tokenizerJson());
    bench.file('all/pooled/1_Pooling/config.json', JSON.stringify({ pooling_mode_lasttoken: true }));
    bench.file('all/pooled/modules.json', JSON.stringify([{ type: 'sentence_transformers.models.Transformer' }]));
    writeTextModel(bench, 'all/prompted', embedder());
    const prompts = { query: 'q ', document: '' };
    bench.file(
      'all/prompted/config_sentence_transformers.json',
      JSON.stringify({ prompts, default_prompt_name: 'query' }),
    );
    writeTextModel(bench, 'all/projected', embedder(), 'text: { output: last_hidden_state }\n');
    bench.file('all/projected/modules.json', JSON.stringify([{ type: 'sentence_transformers.models.Dense' }]));
    bench.repository('all', { tensors: identity('FP32') });
    server = await bench.serve(bench.path('all'), ['--no-refine']);
  });
  afterAll(() => server.stop());

  it('answers a text, a list of texts, tokens and lists of tokens, with what they took', async () => {
    const one = await embed(server, 'abc de');
    expect(one.data).toHaveLength(1);
    expectVector(one.data[0]!.embedding as number[], vectorOf(idsOf('abc de')));
    expect([one.model, one.usage]).toEqual(['words', { prompt_tokens: 7, total_tokens: 7 }]);
    const inputs = ['a', 'the quick brown fox', 'x '.repeat(90), ''];
    const many = await embed(server, inputs);
    expect(many.data.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    many.data.forEach(({ embedding }, i) => expectVector(embedding as number[], vectorOf(idsOf(inputs[i]!))));
    const tokens = idsOf('abc').slice(1, -1);
    for (const list of [tokens, idsOf('abc')])
      expectVector((await embed(server, list)).data[0]!.embedding as number[], vectorOf(idsOf('abc')));
    const lists = await embed(server, [tokens, [idOf('hello')]]);
    expectVector(lists.data[1]!.embedding as number[], vectorOf([idOf('[CLS]'), idOf('hello'), idOf('[SEP]')]));
  });

  it('answers in base64, the same numbers, also where there are many', async () => {
    const inputs = Array.from({ length: 300 }, (_, i) => 'abcdefgh '.repeat(1 + (i % 5)));
    const [floats, coded] = [await embed(server, inputs), await embed(server, inputs, { encoding_format: 'base64' })];
    coded.data.forEach(({ embedding }, i) => {
      const bytes = Buffer.from(embedding as string, 'base64');
      const values = new Float32Array(new Uint8Array(bytes).buffer);
      // Other batches, other rounding.
      expectVector(values, floats.data[i]!.embedding as number[]);
    });
    expect(coded.usage.prompt_tokens).toBe(inputs.reduce((sum, text) => sum + idsOf(text.trim()).length, 0));
  });

  it('is the same through the Open Inference Protocol, over REST and gRPC, and its metadata says so', async () => {
    const { json } = await http(`${server.rest}/v2/models/words`);
    expect(json).toMatchObject({
      inputs: [{ name: 'text', datatype: 'BYTES', shape: [-1] }, { name: 'tokens' }],
      outputs: [
        { name: 'embedding', datatype: 'FP32', shape: [-1, DIMENSION] },
        { name: 'token_count', datatype: 'INT32', shape: [-1] },
      ],
    });
    const given = texts('text', 'abc', 'hello');
    const rest = binaryOutputs(await inferBinary(server, 'words', [given], { sloMs: 60_000 }));
    expectVector(floatsOf(rest[0]!).subarray(0, DIMENSION), vectorOf(idsOf('abc')));
    expect(rest[0]!.shape).toEqual([2, DIMENSION]);
    const client = new GrpcClient(server);
    const reply = await client.infer(grpcRequest('words', [given]));
    expect(reply.error).toBeNull();
    expect(Buffer.from(reply.response.rawOutputContents[0]!)).toEqual(Buffer.from(rest[0]!.data));
    client.close();
    const inputs = [{ name: 'text', datatype: 'BYTES', shape: [1], data: ['abc'] }];
    const plain = await http(`${server.rest}/v2/models/words/infer`, { method: 'POST', body: { inputs } });
    expectVector(plain.json.outputs![0]!.data as number[], vectorOf(idsOf('abc')));
  });

  it('has the model itself beside it, and one with text: false as it always was', async () => {
    const names = (await http(`${server.rest}/v2/models`)).json as unknown as { models: string[] };
    expect(names.models).toEqual(expect.arrayContaining(['words', 'words.tensors', 'plain', 'tensors']));
    expect(names.models).not.toContain('plain.tensors');
    const listed = (await (await fetch(`${server.rest}/v1/models`)).json()) as { data: { id: string }[] };
    expect(listed.data.map(({ id }) => id).sort()).toEqual([
      'cut',
      'leaky',
      'likely',
      'pooled',
      'prompted',
      'rank',
      'words',
    ]);
    expect((await fetch(`${server.rest}/v1/models/words`)).status).toBe(200);
    expect((await fetch(`${server.rest}/v1/models/tensors`)).status).toBe(404);
    expect((await http(`${server.rest}/v2/models/plain`)).json).toMatchObject({ inputs: [{ name: 'input_ids' }, {}] });
  });

  it('pools and cuts as its folder or its YAML says', async () => {
    const first = (await post<Embeddings>(server, '/v1/embeddings', { model: 'cut', input: 'abcdefghijklmn' })).body;
    // Of [CLS] and six letters and [SEP]: the row of [CLS] and the mean of all.
    const ids = [...idsOf('abcdef')];
    const mean = vectorSum(ids).map((sum) => sum / ids.length);
    expectVector(
      first.data[0]!.embedding as number[],
      rowOf(idOf('[CLS]')).map((value, axis) => value + mean[axis]!),
    );
    expect(first.usage.prompt_tokens).toBe(8);
    const shorter = await post<Embeddings>(server, '/v1/embeddings', { model: 'cut', input: 'abc', dimensions: 2 });
    const vector = shorter.body.data[0]!.embedding as number[];
    expect(vector).toHaveLength(2);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    const last = (await post<Embeddings>(server, '/v1/embeddings', { model: 'pooled', input: 'abc' })).body;
    const own = idsOf('abc');
    const ownMean = vectorSum(own).map((sum) => sum / own.length);
    expectVector(
      last.data[0]!.embedding as number[],
      rowOf(idOf('[SEP]')).map((value, axis) => value + ownMean[axis]!),
    );
  });

  it('puts its prompts before texts, by name or by itself, through every protocol', async () => {
    const ask = (more: object): Promise<Answer<Embeddings>> =>
      post<Embeddings>(server, '/v1/embeddings', { model: 'prompted', input: ['abc', 'de'], ...more });
    for (const [more, before] of [
      [{}, 'q '],
      [{ prompt_name: 'query' }, 'q '],
      [{ prompt_name: 'document' }, ''],
      [{ prompt_name: '' }, ''],
    ] as const) {
      const { data } = (await ask(more)).body;
      expectVector(data[0]!.embedding as number[], vectorOf(idsOf(`${before}abc`)));
      expectVector(data[1]!.embedding as number[], vectorOf(idsOf(`${before}de`)));
      const given = [texts('text', 'abc')];
      const rest = await inferBinary(server, 'prompted', given, { sloMs: 60_000, parameters: { ...more } });
      expectVector(floatsOf(binaryOutputs(rest)[0]!), vectorOf(idsOf(`${before}abc`)));
    }
    const tokens = await ask({ input: idsOf('abc') });
    expectVector(tokens.body.data[0]!.embedding as number[], vectorOf(idsOf('abc')));
    const unknown = await failing(server, '/v1/embeddings', { model: 'prompted', input: 'a', prompt_name: 'passage' });
    expect([unknown.status, unknown.body.error['message']]).toEqual([
      400,
      "prompt_name: model 'prompted' has 'query', 'document', and not 'passage'",
    ]);
  });

  it('does not serve a model whose vectors would be without what comes behind the pooling', async () => {
    const { status, body } = await failing(server, '/v1/embeddings', { model: 'projected', input: 'a' });
    expect([status, body.error['message']]).toEqual([503, expect.stringContaining('behind the pooling') as string]);
  });

  it('ranks documents by their scores, with sigmoid where that is said', async () => {
    const documents = ['abc', { text: 'xyz' }, 'hello', 'world'];
    const pair = (text: string): number[] => [...idsOf('q'), ...idsOf(text).slice(1)];
    const word = (token: string): number[] => [...idsOf('q'), idOf(token), idOf('[SEP]')];
    const scores = [pair('abc'), pair('xyz'), word('hello'), word('world')].map(scoreOf);
    const { status, body } = await post<Ranking>(server, '/v1/rerank', { model: 'rank', query: 'q', documents });
    expect(status, JSON.stringify(body)).toBe(200);
    const order = [0, 1, 2, 3].sort((a, b) => scores[b]! - scores[a]!);
    expect(body.results.map(({ index }) => index)).toEqual(order);
    body.results.forEach(({ index, relevance_score }) => expect(relevance_score).toBeCloseTo(scores[index]!, 4));
    const best = await post<Ranking>(server, '/v1/rerank', {
      ...{ model: 'likely', query: 'q', documents, top_n: 2, return_documents: true },
    });
    expect(best.body.results).toHaveLength(2);
    const [top] = best.body.results;
    expect(top!.relevance_score).toBeCloseTo(1 / (1 + Math.exp(-scores[order[0]!]!)), 5);
    expect(top!.document).toEqual({ text: ['abc', 'xyz', 'hello', 'world'][order[0]!] });
  });

  it('does not pad a model whose answers change with padding, and says so', async () => {
    await eventually('the word of it', () => /leaky.*answers change by .* with padding/.test(server.log));
    expect(server.log).not.toMatch(/words\.tensors.*padding/);
    // By its own length: the mean of its rows is that of its own tokens.
    const { body } = await post<Embeddings>(server, '/v1/embeddings', { model: 'leaky', input: 'abcde' });
    expectVector(body.data[0]!.embedding as number[], vectorOf(idsOf('abcde')));
  });

  it('refuses tokens that the model has not through the Open Inference Protocol too, and nobody else with them', async () => {
    const whole = (name: string, datatype: 'INT32' | 'INT64', ids: readonly number[]): Tensor => {
      const values = datatype === 'INT64' ? BigInt64Array.from(ids, BigInt) : Int32Array.from(ids);
      return { name, datatype, shape: [1, ids.length], data: new Uint8Array(values.buffer) };
    };
    const cases: readonly (readonly [string, readonly Tensor[]])[] = [
      ['words', [whole('tokens', 'INT32', [2, VOCABULARY_SIZE, 3]), texts('text', '')]],
      [
        'words.tensors',
        [whole('input_ids', 'INT64', [2, VOCABULARY_SIZE, 3]), whole('attention_mask', 'INT64', [1, 1, 1])],
      ],
      ['plain', [whole('input_ids', 'INT64', [2, -61, 3]), whole('attention_mask', 'INT64', [1, 1, 1])]],
    ];
    const client = new GrpcClient(server);
    for (const [model, inputs] of cases) {
      const said = model === 'plain' ? 'there is no -61 (element 1)' : 'there is no 60 (element 1)';
      const beside = Array.from({ length: 8 }, () => embed(server, 'abc'));
      const rest = await inferBinary(server, model, inputs, { sloMs: 60_000 });
      expect([rest.status, rest.json.error]).toEqual([400, expect.stringContaining(said) as string]);
      const grpc = await client.infer(grpcRequest(model, inputs));
      expect([grpc.error?.code, grpc.error?.message]).toEqual([3, expect.stringContaining(said) as string]);
      for (const { data } of await Promise.all(beside))
        expectVector(data[0]!.embedding as number[], vectorOf(idsOf('abc')));
    }
    client.close();
    // From the end, as the operator has it: the last row.
    const last = [whole('input_ids', 'INT64', [-1]), whole('attention_mask', 'INT64', [1])];
    const taken = binaryOutputs(await inferBinary(server, 'plain', last, { sloMs: 60_000 }));
    expectVector(
      floatsOf(taken[0]!),
      rowOf(VOCABULARY_SIZE - 1).map((value) => 2 * value),
    );
  });

  it('says in OpenAI’s words what is wrong, and why it was refused', async () => {
    const cases: readonly (readonly [path: string, body: unknown, status: number, message: RegExp | string])[] = [
      ['/v1/embeddings', '{', 400, /JSON/],
      ['/v1/embeddings', { input: 'a' }, 400, 'model: expected'],
      ['/v1/embeddings', { model: 'words' }, 400, 'input: expected'],
      ['/v1/embeddings', { model: 'words', input: [] }, 400, 'input: expected'],
      ['/v1/embeddings', { model: 'words', input: ['a', 1] }, 400, 'input: expected'],
      ['/v1/embeddings', { model: 'words', input: [1.5] }, 400, 'input: expected'],
      ['/v1/embeddings', { model: 'words', input: [VOCABULARY_SIZE] }, 400, 'there is no token 60'],
      ['/v1/embeddings', { model: 'words', input: 'a', encoding_format: 'hex' }, 400, 'encoding_format'],
      ['/v1/embeddings', { model: 'words', input: 'a', dimensions: 2 }, 400, "dimensions: model 'words' has 4"],
      ['/v1/embeddings', { model: 'words', input: Array<string>(2049).fill('a') }, 400, 'it has 2049 texts'],
      ['/v1/embeddings', { model: 'cut', input: [idsOf('abcdefghij')] }, 400, 'it has 12 tokens'],
      ['/v1/embeddings', { model: 'tensors', input: 'a' }, 400, 'takes tensors and no text'],
      ['/v1/embeddings', { model: 'rank', input: 'a' }, 400, '/v1/rerank'],
      ['/v1/embeddings', { model: 'nobody', input: 'a' }, 404, 'unknown model'],
      ['/v1/embeddings', { model: 'wrong', input: 'a' }, 503, 'none that text gives'],
      ['/v1/rerank', { model: 'rank', query: 'a', documents: [] }, 400, 'documents: expected'],
      ['/v1/rerank', { model: 'rank', query: 'a', documents: [1] }, 400, 'documents: number 0'],
      ['/v1/rerank', { model: 'rank', query: 'a', documents: ['a'], top_n: 0 }, 400, 'top_n'],
      ['/v1/rerank', { model: 'words', query: 'a', documents: ['a'] }, 400, '/v1/embeddings'],
      ['/v1/nothing', {}, 404, 'not supported'],
    ];
    for (const [path, body, status, message] of cases) {
      const answer = await failing(server, path, body);
      expect([answer.status, answer.body.error['message']], JSON.stringify(body).slice(0, 80)).toEqual([
        status,
        expect.stringMatching(message) as string,
      ]);
    }
    const late = await failing(
      server,
      '/v1/embeddings',
      { model: 'words', input: 'a' },
      { 'request-timeout-ms': '0.001' },
    );
    expect([late.status, late.headers.get('x-should-retry'), late.headers.get('retry-after')]).toEqual([
      504,
      'false',
      null,
    ]);
    expect(late.body.error).toMatchObject({
      type: 'server_error',
      param: null,
      code: late.headers.get('x-sponge-reason'),
    });
    const none = { inputs: [{ name: 'text', datatype: 'BYTES', shape: [0], data: [] }] };
    const empty = await http(`${server.rest}/v2/models/words/infer`, { method: 'POST', body: none });
    expect([empty.status, empty.json['error']]).toEqual([400, 'there is no text in it']);
  });

  it('is described beside the rest', async () => {
    const document = (await http(`${server.rest}/v2/openapi.json`)).json as unknown as {
      paths: Record<string, unknown>;
    };
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/v1/embeddings', '/v1/rerank', '/v1/models']));
  });

  it('is not stopped for others by any text', async () => {
    const odd = [
      'a'.repeat(1_000_000),
      '😀'.repeat(250_000),
      '\ud83d'.repeat(100_000),
      ' '.repeat(500_000),
      '漢'.repeat(300_000),
    ];
    const flood = odd.map((text) => embed(server, text));
    const crowd = embed(server, Array<string>(2048).fill('abc'));
    // Each gets its own answer, and others' calls are answered meanwhile.
    const meanwhile = await Promise.all(Array.from({ length: 20 }, () => embed(server, 'abc')));
    for (const { data } of meanwhile) expectVector(data[0]!.embedding as number[], vectorOf(idsOf('abc')));
    const [word, , broken] = await Promise.all(flood);
    expectVector(word!.data[0]!.embedding as number[], vectorOf([idOf('[CLS]'), idOf('[UNK]'), idOf('[SEP]')]));
    expect(broken!.usage.prompt_tokens).toBeLessThanOrEqual(512);
    expect((await crowd).data).toHaveLength(2048);
    const tooMany = await failing(server, '/v1/embeddings', {
      model: 'words',
      input: Array<string>(100_000).fill('a'),
    });
    expect(tooMany.status).toBe(400);
  });
});

function vectorSum(ids: readonly number[]): number[] {
  return Array.from({ length: DIMENSION }, (_, axis) => ids.reduce((sum, id) => sum + rowOf(id)[axis]!, 0));
}

describe('a folder of one model of text', () => {
  it('gives up whole requests, with the word when to try again', async () => {
    writeTextModel(bench, 'small', embedder());
    const server = await bench.serve(bench.path('small'), ['--queue-limit', '1', '--no-refine']);
    const many = { model: 'small', input: Array<string>(1000).fill('abc') };
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => post<Embeddings & Failure>(server, '/v1/embeddings', many)),
    );
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers, body } of refused) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(body.error).toMatchObject({ type: 'rate_limit_error', code: 'queue_full' });
    }
    for (const { status, body } of answers) if (status === 200) expect(body.data).toHaveLength(1000);
    await server.stop();
  });

  it('is served with no flags, and asks for tokens like every other path', async () => {
    writeTextModel(bench, 'alone', embedder());
    bench.file('tokens.txt', 'anna 0123456789abcdef0123456789abcdef\n');
    const server = await bench.serve(bench.path('alone'), ['--auth-token-file', bench.path('tokens.txt')]);
    const body = { model: 'alone', input: 'abc' };
    const without = await failing(server, '/v1/embeddings', body);
    expect([without.status, without.body.error['type']]).toEqual([401, 'authentication_error']);
    const headers = { authorization: 'Bearer 0123456789abcdef0123456789abcdef' };
    expect((await post(server, '/v1/embeddings', body, headers)).status).toBe(200);
    await server.stop();
  });

  it('is loaded, loaded anew and unloaded as one, its own model with it', async () => {
    writeTextModel(bench, 'store/words', embedder());
    const server = await bench.serve(bench.path('store'), ['--model-control', 'explicit', '--no-refine']);
    const loading = (verb: string): Promise<{ status: number }> =>
      post<object>(server, `/v2/repository/models/words/${verb}`, '').catch(() => ({ status: 200 }));
    await loading('load');
    expectVector((await embed(server, 'abc')).data[0]!.embedding as number[], vectorOf(idsOf('abc')));
    // Another model in the place of the first: of answers that change with padding.
    bench.file('store/words/model.onnx', leakyEmbedder().toModel());
    await loading('load');
    await eventually('the word of it', () => /answers change by .* with padding/.test(server.log));
    await loading('unload');
    await eventually('both to be gone', async () => {
      const names = (await http(`${server.rest}/v2/models`)).json as unknown as { models: string[] };
      return names.models.length === 0;
    });
    await server.stop();
  });
});
