import { readFileSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import https from 'node:https';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import { afterAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { GRPCInferenceServiceClient } from '../../fixtures/grpc-stubs.js';
import { call } from '../../conformance/grpc-harness.js';
import { Scrape } from './clients.js';
import { eventually, TestBench } from './harness.js';

/*
 * A server with `--io-threads`, as a user starts it: what its front ends have of the outside each thread has for itself (certificates, tokens,
 * addresses), and what is counted of them is one number.
 */

const TLS = fileURLToPath(new URL('../../fixtures/tls/', import.meta.url));
const CA = readFileSync(`${TLS}ca.cert.pem`);
const TOKEN = 'c0ffee'.repeat(5);
const FLAGS = [
  ...['--no-refine', '--io-threads', '2'],
  ...['--tls-cert', `${TLS}server.cert.pem`, '--tls-key', `${TLS}server.key.pem`],
];

const bench = new TestBench();
afterAll(() => bench.close());

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** On a connection of its own. */
function ask(url: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method: body === undefined ? 'GET' : 'POST', headers, ca: CA, agent: false } as const;
    const request = https.request(url, { ...options, servername: 'localhost' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

describe('io threads', () => {
  it('speak TLS, ask for tokens, listen at every address of localhost, and end with the server', async () => {
    const tokens = bench.file('tokens', `phone ${TOKEN}\n`);
    const model = bench.model('identity', identity('FP32'));
    const server = await bench.serve(model, [...FLAGS, '--host', 'localhost', '--auth-token-file', tokens]);
    const portOf = (pattern: RegExp): number => Number(pattern.exec(server.banner)![1]);
    const rest = portOf(/REST +https:\/\/localhost:(\d+)/);
    const input = { inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] };
    const authorization = { authorization: `Bearer ${TOKEN}` };

    const addresses = await lookup('localhost', { all: true });
    for (const { address, family } of addresses) {
      const base = `https://${family === 6 ? `[${address}]` : address}:${rest}/v2`;
      const path = `${base}/models/identity/infer`;
      // Several connections, so that it would be chance if one thread had them all.
      const answers = await Promise.all(Array.from({ length: 6 }, () => ask(path, input, authorization)));
      expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
      expect(JSON.parse(answers[0]!.text)).toMatchObject({ outputs: [{ data: [1, 2, 3, 4] }] });
      const strangers = await Promise.all(Array.from({ length: 3 }, () => ask(path, input)));
      expect(strangers.map(({ status }) => status)).toEqual([401, 401, 401]);
    }

    const client = new GRPCInferenceServiceClient(
      `localhost:${portOf(/gRPC +localhost:(\d+)/)}`,
      credentials.createSsl(CA),
    );
    const named = { name: 'identity', version: '' };
    const { error, response } = await call(client, 'modelMetadata', named, { metadata: authorization });
    expect([error, response.name]).toEqual([null, 'identity']);
    expect((await call(client, 'modelMetadata', named)).error?.code).toBe(16); // UNAUTHENTICATED
    client.close();

    const metrics = `https://localhost:${portOf(/metrics +https:\/\/localhost:(\d+)/)}/metrics`;
    const scrape = new Scrape((await ask(metrics, undefined, authorization)).text);
    expect(scrape.sum('sponge_edge_refusals_total', { protocol: 'rest', reason: 'unauthenticated' })).toBe(
      3 * addresses.length,
    );
    expect(scrape.sum('sponge_outcomes_total')).toBe(6 * addresses.length);
    for (const thread of ['0', '1']) {
      expect(scrape.sum('sponge_io_thread_event_loop_delay_seconds', { thread, quantile: '1' })).toBeGreaterThan(0);
    }
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await eventually('the port to be free', () =>
      ask(`https://localhost:${rest}/v2`).then(
        () => false,
        () => true,
      ),
    );
  });
});
