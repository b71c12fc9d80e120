/* OpenAI's client for Node: `openai_node.mjs <REST> <gRPC> -`. Prints an outcome a line, as the scripts in Python do. */
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const [rest, , , modules] = process.argv.slice(2);
const OpenAI = createRequire(`${modules}/`)('openai').default;
const client = new OpenAI({ baseURL: `http://${rest}/v1`, apiKey: 'none', maxRetries: 0 });
const TEXTS = ['hello world', 'a', 'the quick brown fox '.repeat(20)];

async function expected(texts) {
  const inputs = [{ name: 'text', datatype: 'BYTES', shape: [texts.length], data: texts }];
  const answer = await fetch(`http://${rest}/v2/models/words/infer`, {
    method: 'POST',
    body: JSON.stringify({ inputs }),
  });
  const { shape, data } = (await answer.json()).outputs.find(({ name }) => name === 'embedding');
  return texts.map((_, i) => data.slice(i * shape[1], (i + 1) * shape[1]));
}

function same(got, wanted) {
  assert.equal(got.length, wanted.length);
  got.forEach((vector, i) => vector.forEach((value, axis) => assert.ok(Math.abs(value - wanted[i][axis]) < 1e-6)));
}

const checks = {
  'a text': async () => {
    const { data, usage } = await client.embeddings.create({ model: 'words', input: TEXTS[0] });
    same([data[0].embedding], await expected(TEXTS.slice(0, 1)));
    assert.equal(usage.total_tokens, 4);
  },
  'a list of texts, in base64 as it asks by itself, and as floats': async () => {
    for (const how of [{}, { encoding_format: 'float' }]) {
      const { data } = await client.embeddings.create({ model: 'words', input: TEXTS, ...how });
      same(
        data.map(({ embedding }) => embedding),
        await expected(TEXTS),
      );
    }
  },
  tokens: async () => {
    const { data } = await client.embeddings.create({ model: 'words', input: [[4], [4, 5]] });
    same([data[0].embedding], await expected(['a']));
  },
  'the list of models': async () => {
    const listed = [];
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
