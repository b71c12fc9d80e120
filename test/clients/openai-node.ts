import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

/*
 * OpenAI's client for Node: `openai-node.ts <REST> <gRPC> <folder of its package>`. Prints an outcome a line, as the scripts in Python do.
 */

/** What of it is asked here; its own declarations are where it is installed. */
interface Client {
  readonly embeddings: {
    create(asked: object): Promise<{
      readonly data: readonly { readonly embedding: readonly number[] }[];
      readonly usage: { readonly total_tokens: number };
    }>;
  };
  readonly models: { list(): AsyncIterable<{ readonly id: string }> };
}
type ErrorKind = new () => Error;
interface OpenAi {
  new (options: object): Client;
  readonly NotFoundError: ErrorKind;
  readonly BadRequestError: ErrorKind;
}

const [rest, , folder] = process.argv.slice(2);
const required: unknown = createRequire(`${folder!}/`)('openai');
const { default: OpenAI } = required as { readonly default: OpenAi };
const client = new OpenAI({ baseURL: `http://${rest!}/v1`, apiKey: 'none', maxRetries: 0 });
const TEXTS = ['hello world', 'a', 'the quick brown fox '.repeat(20)];

async function expected(texts: readonly string[]): Promise<readonly (readonly number[])[]> {
  const inputs = [{ name: 'text', datatype: 'BYTES', shape: [texts.length], data: texts }];
  const answer = await fetch(`http://${rest!}/v2/models/words/infer`, {
    ...{ method: 'POST', body: JSON.stringify({ inputs }) },
  });
  const { outputs } = (await answer.json()) as { outputs: { name: string; shape: number[]; data: number[] }[] };
  const { shape, data } = outputs.find(({ name }) => name === 'embedding')!;
  const size = shape[1]!;
  return texts.map((_, i) => data.slice(i * size, (i + 1) * size));
}

function assertSame(got: readonly (readonly number[])[], wanted: readonly (readonly number[])[]): void {
  assert.equal(got.length, wanted.length);
  got.forEach((vector, i) => {
    vector.forEach((value, axis) => assert.ok(Math.abs(value - wanted[i]![axis]!) < 1e-6));
  });
}

const checks: Readonly<Record<string, () => Promise<void>>> = {
  'a text': async () => {
    const { data, usage } = await client.embeddings.create({ model: 'words', input: TEXTS[0] });
    assertSame([data[0]!.embedding], await expected(TEXTS.slice(0, 1)));
    assert.equal(usage.total_tokens, 4);
  },
  'a list of texts, in base64 as it asks by itself, and as floats': async () => {
    for (const how of [{}, { encoding_format: 'float' }]) {
      const { data } = await client.embeddings.create({ model: 'words', input: TEXTS, ...how });
      assertSame(
        data.map(({ embedding }) => embedding),
        await expected(TEXTS),
      );
    }
  },
  tokens: async () => {
    const { data } = await client.embeddings.create({ model: 'words', input: [[4], [4, 5]] });
    assertSame([data[0]!.embedding], await expected(['a']));
  },
  'the list of models': async () => {
    const listed: string[] = [];
    for await (const { id } of client.models.list()) listed.push(id);
    assert.ok(listed.includes('words'));
  },
  'errors of its own kinds': async () => {
    await assert.rejects(client.embeddings.create({ model: 'nobody', input: 'a' }), OpenAI.NotFoundError);
    await assert.rejects(client.embeddings.create({ model: 'words', input: [] }), OpenAI.BadRequestError);
  },
};

for (const [check, act] of Object.entries(checks)) {
  try {
    await act();
    console.log(JSON.stringify({ check, ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ check, ok: false, detail: String(error).replaceAll(/\s+/g, ' ').slice(0, 300) }));
  }
}
