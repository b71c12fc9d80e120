import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Door } from '../../src/server/doors/door.js';
import { TokenFile } from '../../src/server/doors/tokens.js';
import type { OpenApiDocument } from '../../src/server/edge/rest/openapi.js';
import { call, startRest, type RestUnderTest } from './rest-harness.js';

/* What is served, described for programs and for people, against what is served. */

let rest: RestUnderTest;
let openApi: OpenApiDocument;
beforeAll(async () => {
  rest = await startRest();
  openApi = (await call(rest.server, 'GET', '/v2/openapi.json')).json() as OpenApiDocument;
});
afterAll(() => rest.server.close());

interface Body {
  readonly content: { readonly 'application/json'?: { readonly example?: object } };
}

describe('/v2/openapi.json', () => {
  it('has the paths of every model that is served, and each of them answers as it says', async () => {
    for (const model of rest.fake.models()) expect(Object.keys(openApi.paths)).toContain(`/v2/models/${model.name}`);
    for (const [path, methods] of Object.entries(openApi.paths)) {
      for (const [method, { responses, requestBody }] of Object.entries(methods)) {
        const body = (requestBody as Body | undefined)?.content['application/json']?.example;
        if (method === 'post' && path.endsWith('/infer') && body === undefined) continue;
        const reply = await call(rest.server, method.toUpperCase() as 'GET' | 'POST', path, body);
        const expected = path.includes('/models/loading') && path.endsWith('/ready') ? 503 : 200;
        expect([method, path, reply.status]).toEqual([method, path, expected]);
        expect(Object.keys(responses as object)).toContain(String(expected));
        expect(() => reply.json()).not.toThrow();
      }
    }
  });

  it('describes the inputs of a model by their own names, types and shapes', () => {
    const { post } = openApi.paths['/v2/models/fixed/infer']!;
    const { schema } = (post!['requestBody'] as { content: Record<string, { schema: object }> }).content[
      'application/json'
    ]!;
    expect(schema).toMatchObject({
      required: ['inputs'],
      properties: {
        inputs: {
          minItems: 2,
          maxItems: 2,
          items: {
            oneOf: [
              {
                properties: {
                  name: { const: 'a' },
                  datatype: { const: 'FP32' },
                  shape: { prefixItems: [{ const: 2 }, { const: 3 }] },
                },
              },
              {
                properties: {
                  name: { const: 'b' },
                  shape: { prefixItems: [{ type: 'integer', minimum: 0 }], maxItems: 1 },
                },
              },
            ],
          },
        },
        outputs: { items: { properties: { name: { enum: ['sum', 'count'] } } } },
      },
    });
    // Nothing to be asked yet.
    expect(openApi.paths).not.toHaveProperty('/v2/models/loading/infer');
    const references = [...JSON.stringify(openApi).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!);
    expect(new Set(references)).toEqual(new Set(Object.keys(openApi.components.schemas)));
  });
});

describe('loading and unloading', () => {
  const LOAD = '/v2/repository/models/{model}/load';

  interface Docs extends OpenApiDocument {
    readonly page: string;
  }

  async function pathsFor(isOpenToClients: boolean, host = '127.0.0.1', token?: string): Promise<Docs> {
    const file = join(mkdtempSync(join(tmpdir(), 'sponge-test-')), 'tokens');
    writeFileSync(file, 'full 0123456789abcdef0123\nlook 3210fedcba9876543210 read-only\n', { mode: 0o600 });
    const tokens = token === undefined ? undefined : await TokenFile.open({ path: file, onNotice: () => undefined });
    const door = new Door(tokens === undefined ? { host } : { host, tokens });
    const own = await startRest({ door });
    const refuse = (): Promise<never> => Promise.reject(new Error('nobody asks'));
    Object.assign(own.fake, { repository: { isOpenToClients, index: refuse, load: refuse, unload: refuse } });
    // Registered with the service as it was then.
    const again = await startRest({ door, service: own.fake });
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const document = (
      await call(again.server, 'GET', '/v2/openapi.json', undefined, headers)
    ).json() as OpenApiDocument;
    const page = (await call(again.server, 'GET', '/v2/docs', undefined, headers)).bytes.toString();
    await own.server.close();
    await again.server.close();
    door.close();
    rmSync(dirname(file), { recursive: true });
    return { ...document, page };
  }

  it('are in the document and on the page where clients may do it', async () => {
    const { paths, components, page } = await pathsFor(true);
    expect(page).toContain(`<code>POST ${LOAD}</code>`);
    expect(page).toMatch(/curl -X POST http:\S+\/v2\/repository\/models\/NAME\/unload/);
    expect(paths[LOAD]).toMatchObject({ post: { parameters: [{ in: 'path', name: 'model', required: true }] } });
    expect(paths).toHaveProperty(LOAD.replace('load', 'unload'));
    const references = [...JSON.stringify(paths).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!);
    expect(new Set(references)).toEqual(new Set(Object.keys(components.schemas)));
    expect((await pathsFor(true, '0.0.0.0', '0123456789abcdef0123')).paths).toHaveProperty(LOAD);
  });

  it('are in neither, where models are the command line’s, others reach the server, or the token is for looking', async () => {
    for (const document of [
      { ...openApi, page: (await call(rest.server, 'GET', '/v2/docs')).bytes.toString() },
      await pathsFor(false),
      await pathsFor(true, '0.0.0.0'),
      await pathsFor(true, '0.0.0.0', '3210fedcba9876543210'),
    ]) {
      expect(document.paths).not.toHaveProperty(LOAD);
      expect(document.page).not.toMatch(/\/repository\/models/);
      expect(document.components.schemas).not.toHaveProperty('LoadRequest');
    }
  });
});

describe('/v2/docs', () => {
  it('is a page without scripts, that loads nothing', async () => {
    const page = await call(rest.server, 'GET', '/v2/docs');
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    const html = page.bytes.toString();
    expect(html).not.toMatch(/<script|<link|<img|src=|@import|url\(/);
    expect(html).toContain(`curl ${rest.server.url}/v2/models/fixed/infer -H &#39;`.replaceAll('&#39;', "'"));
    for (const { name } of rest.fake.models()) expect(html).toContain(`<h2>${name}</h2>`);
  });

  it('shows names that a file or a client made up as what they are', async () => {
    rest.fake.serverName = '<script>alert(1)</script>';
    const page = await call(rest.server, 'GET', '/v2/docs', undefined, { host: 'a"><b>' });
    expect(page.bytes.toString()).toContain('&lt;script&gt;alert(1)');
    expect(page.bytes.toString()).not.toMatch(/<script|<b>/);
  });
});
