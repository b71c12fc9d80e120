import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { namedPods } from '../../src/server/route/pod-sources.js';
import { startRouter, type Router } from '../../src/server/route/router.js';
import { SystemClock } from '../../src/server/system-clock.js';
import { createLogger } from '../../src/server/telemetry/logger.js';
import { eventually } from '../system/server/harness.js';
import type { PodReport } from '../../src/scheduler/domain/pod-report.js';

/* The picker as a proxy meets it: external processing over gRPC by another implementation of it, before pods that only report. */

const PROTO = fileURLToPath(new URL('../../src/server/route/proto/external_processor.proto', import.meta.url));
const HEALTH = fileURLToPath(new URL('../../src/protocol/grpc/proto/health.proto', import.meta.url));

/** A pod that reports that it is through with what it has in so many ms, and takes 30 for a request. */
class ReportingPod {
  readonly #server: http.Server;
  readonly #readers = new Set<http.ServerResponse>();
  waitMs: number;
  status = 200;
  readonly queries: string[] = [];

  constructor(waitMs: number) {
    this.waitMs = waitMs;
    this.#server = http.createServer((request, response) => {
      this.queries.push(request.url ?? '');
      response.writeHead(this.status, { 'content-type': 'text/event-stream' });
      if (this.status !== 200) {
        response.end();
        return;
      }
      this.#readers.add(response);
      response.once('close', () => this.#readers.delete(response));
      this.#tell(response);
    });
  }

  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.id;
  }

  get id(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  report(waitMs: number): void {
    this.waitMs = waitMs;
    for (const reader of this.#readers) this.#tell(reader);
  }

  say(text: string): void {
    for (const reader of this.#readers) reader.write(text);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #tell(reader: http.ServerResponse): void {
    const mark = { dueInMs: 0, startInMs: this.waitMs, doneInMs: this.waitMs, roomMs: null };
    const times = { leastMs: 30, aloneMs: 30, instanceCount: 1, requestMs: 10, marks: [mark], spareCoreSeconds: 1 };
    const facts = { isLatest: true, isReady: true, heldRequests: 0, defaultSloMs: 1000, requestBytes: 0 };
    const report: PodReport = {
      schemaVersion: 1,
      isDraining: false,
      grpcPort: 7001,
      models: [{ name: 'm', version: '1', ...facts, ...times }],
      arrived: [],
      isArrivedCut: false,
    };
    reader.write(`data: ${JSON.stringify(report)}\n\n`);
  }
}

type Message = Record<string, unknown>;

let pods: ReportingPod[];
let router: Router;
let client: grpc.Client;
const clock = new SystemClock();
const lines: string[] = [];

beforeAll(async () => {
  pods = [new ReportingPod(0), new ReportingPod(400)];
  const endpoints = await Promise.all(pods.map((pod) => pod.listen()));
  router = await startRouter({
    source: namedPods({ endpoints, onTrouble: (line) => lines.push(line) }),
    host: '127.0.0.1',
    port: 0,
    metricsPort: 0,
    grpcPort: null,
    token: 'secret',
    tls: undefined,
    logger: createLogger({ format: 'text', level: 'info', write: (line) => lines.push(line) }),
    nowMs: () => clock.nowMs(),
  });
  client = new grpc.Client(`127.0.0.1:${router.port}`, grpc.credentials.createInsecure());
  await eventually('both pods to report', async () =>
    (await podsNow()).every(({ contact }) => contact === 'reporting'),
  );
});

afterAll(async () => {
  client.close();
  await router.close();
  for (const pod of pods) await pod.close();
});

afterEach(() => {
  pods[0]!.report(0);
  pods[1]!.report(400);
});

async function podsNow(): Promise<{ pod: string; contact: string; models: { finishInMs: number }[] }[]> {
  const response = await fetch(`http://127.0.0.1:${router.metricsPort}/pods`);
  return (await response.json()) as { pod: string; contact: string; models: { finishInMs: number }[] }[];
}

const definition = loadSync(PROTO, { keepCase: true });
const { Process } = definition['envoy.service.ext_proc.v3.ExternalProcessor'] as grpc.ServiceDefinition;

/** All that is answered to these messages of one stream. */
async function process(...messages: readonly Message[]): Promise<Message[]> {
  const { path, requestSerialize, responseDeserialize } = Process!;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const answers: Message[] = [];
  stream.on('data', (answer: Message) => answers.push(answer));
  for (const message of messages) stream.write(message);
  stream.end();
  await once(stream, 'end');
  return answers;
}

function heads(headers: Readonly<Record<string, string>>): Message {
  const list = Object.entries(headers).map(([key, value]) => ({ key, raw_value: Buffer.from(value) }));
  return { request_headers: { headers: { headers: list } } };
}

function rest(headers: Readonly<Record<string, string>> = {}): Message {
  return heads({ ':method': 'POST', ':path': '/v2/models/m/infer', ...headers });
}

const GRPC_HEADERS = {
  ':method': 'POST',
  ':path': '/inference.GRPCInferenceService/ModelInfer',
  'content-type': 'application/grpc',
};

/** Header mutations of a response, by name. */
function headersOf(mutation: unknown): Record<string, string> {
  const { set_headers: set } = mutation as {
    set_headers: { header: { key: string; raw_value: Buffer }; append_action: number }[];
  };
  expect(set.every(({ append_action: action }) => action === 2)).toBe(true);
  return Object.fromEntries(set.map(({ header }) => [header.key, header.raw_value.toString()]));
}

function destinationOf(answer: Message): string {
  const { response } = answer['request_headers'] as { response: { header_mutation: unknown } };
  const destination = headersOf(response.header_mutation)['x-gateway-destination-endpoint']!;
  const { fields } = answer['dynamic_metadata'] as { fields: { 'envoy.lb': { structValue: { fields: Message } } } };
  const told = fields['envoy.lb'].structValue.fields['x-gateway-destination-endpoint'] as { stringValue: string };
  expect(told.stringValue).toBe(destination);
  return destination;
}

function refusalOf(answer: Message) {
  const {
    status,
    headers,
    body,
    grpc_status: grpcStatus,
  } = answer['immediate_response'] as {
    status: { code: number };
    headers: unknown;
    body: Buffer;
    grpc_status: { status: number } | null;
  };
  return { code: status.code, headers: headersOf(headers), body: body.toString(), grpc: grpcStatus?.status ?? null };
}

describe('a destination', () => {
  it('is said as header and as dynamic metadata, with where to try next', async () => {
    const [first, second] = pods.map(({ id }) => id);
    const [answer] = await process(rest({ 'request-timeout-ms': '300' }));
    expect(destinationOf(answer!)).toBe(`${first},${second}`);
  });

  it('of a gRPC call is where that pod speaks it', async () => {
    const [answer] = await process(heads({ ...GRPC_HEADERS, 'grpc-timeout': '300m', 'x-sponge-model': 'm' }));
    expect(destinationOf(answer!)).toBe('127.0.0.1:7001,127.0.0.1:7001');
  });

  it('numbers the request, for the pod to tell that it has come', async () => {
    const [answer] = await process(rest());
    const { response } = answer!['request_headers'] as { response: { header_mutation: unknown } };
    const pick = headersOf(response.header_mutation)['x-sponge-pick']!;
    expect(pick).toMatch(/^[0-9a-f]{12}\.\d+$/);
    expect(pods[0]!.queries[0]).toContain(`picker=${pick.split('.')[0]}`);
  });

  it('is given to what is no inference too', async () => {
    const [answer] = await process(heads({ ':method': 'GET', ':path': '/v2/models/m' }));
    expect(pods.map(({ id }) => id)).toContain(destinationOf(answer!));
  });
});

describe('a refusal', () => {
  it('says at once what no pod can meet at all, as a pod would', async () => {
    const [answer] = await process(rest({ 'request-timeout-ms': '20' }));
    const { code, headers, body, grpc: status } = refusalOf(answer!);
    expect([code, status]).toEqual([504, null]);
    expect(headers).toEqual({ 'x-sponge-reason': 'infeasible_at_max_cores', 'content-type': 'application/json' });
    expect(JSON.parse(body)).toMatchObject({
      reason: 'infeasible_at_max_cores',
      best_case_ms: 30,
      remaining_budget_ms: 20,
    });
  });

  it('says at this load when the earliest of all would be done', async () => {
    pods[0]!.report(5000);
    pods[1]!.report(6000);
    const finishOf = async (id: string): Promise<number> =>
      (await podsNow()).find(({ pod }) => pod === id)!.models[0]!.finishInMs;
    await expect.poll(() => finishOf(pods[0]!.id)).toBe(5030);
    await expect.poll(() => finishOf(pods[1]!.id)).toBe(6030);
    const [answer] = await process(rest({ 'request-timeout-ms': '100' }));
    const { code, headers, body } = refusalOf(answer!);
    expect(code).toBe(429);
    expect(headers).toMatchObject({
      'x-sponge-reason': 'queue_overload',
      'retry-after': expect.stringMatching(/^[45]$/) as string,
    });
    const told = JSON.parse(body) as { earliest_finish_ms: number };
    expect(told.earliest_finish_ms).toBeGreaterThan(3000);
    // The few that the tests before have sent and no report has seen count too.
    expect(told.earliest_finish_ms).toBeLessThanOrEqual(5030 + 200);
  });

  it('of a gRPC call is a status, and the details are headers', async () => {
    const [answer] = await process(heads({ ...GRPC_HEADERS, 'grpc-timeout': '20m', 'mm-model': 'm' }));
    const { code, headers, body, grpc: status } = refusalOf(answer!);
    expect([code, status]).toEqual([200, grpc.status.DEADLINE_EXCEEDED]);
    expect(headers).toMatchObject({ 'x-sponge-reason': 'infeasible_at_max_cores', 'x-sponge-best-case-ms': '30' });
    expect(body).toMatch(/^deadline cannot be met/);
  });
});

describe('what else a proxy sends', () => {
  it('is passed on as it is', async () => {
    const answers = await process(
      rest(),
      { request_body: { body: Buffer.from('abc'), end_of_stream: true } },
      { response_headers: { headers: { headers: [] } } },
      { response_trailers: {} },
    );
    expect(answers.map((answer) => Object.keys(answer)[0])).toEqual([
      'request_headers',
      'request_body',
      'response_headers',
      'response_trailers',
    ]);
  });

  it('is sent back piece by piece where a body is streamed both ways', async () => {
    const [, first, second] = await process(
      { ...rest(), protocol_config: { request_body_mode: 4 } },
      { request_body: { body: Buffer.from('abc') } },
      { request_body: { body: Buffer.from('def'), end_of_stream: true } },
    );
    const pieces = [first, second].map((answer) => {
      const { response } = answer!['request_body'] as { response: { body_mutation: { streamed_response: Message } } };
      return response.body_mutation.streamed_response;
    });
    expect(pieces).toMatchObject([{ body: Buffer.from('abc') }, { body: Buffer.from('def'), end_of_stream: true }]);
  });
});

describe('the reports of pods', () => {
  it('are asked for with the token, in turn a connection each', () => {
    for (const pod of pods) expect(pod.queries[0]).toMatch(/^\/v2\/sponge\/report\?interval_ms=50&picker=/);
  });

  it('that end are a lost pod, which is found again when it is back', async () => {
    const [first, second] = pods;
    const port = Number(second!.id.split(':')[1]);
    await second!.close();
    await expect
      .poll(() => podsNow().then((all) => all.find(({ contact }) => contact === 'lost') !== undefined))
      .toBe(true);
    const [answer] = await process(rest({ 'request-timeout-ms': '100' }));
    expect(destinationOf(answer!)).toBe(first!.id);
    pods[1] = new ReportingPod(400);
    await pods[1].listen(port);
    await expect
      .poll(() => podsNow().then((all) => all.map(({ contact }) => contact)))
      .toEqual(['reporting', 'reporting']);
  });

  it('that are none are not believed', async () => {
    pods[1]!.say('data: {"schemaVersion":2}\n\n');
    await expect.poll(() => lines.join('')).toContain('is silent: what it reports is no report of this version');
    await expect
      .poll(() => podsNow().then((all) => all.map(({ contact }) => contact)))
      .toEqual(['reporting', 'reporting']);
  });
});

describe('health', () => {
  it('is ready once a pod has reported, and lives', async () => {
    const health = loadSync(HEALTH, { keepCase: true });
    const { Check } = health['grpc.health.v1.Health'] as grpc.ServiceDefinition;
    const ask = (service: string): Promise<unknown> =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          Check!.path,
          Check!.requestSerialize,
          Check!.responseDeserialize,
          { service },
          (error, answer) => {
            if (error === null) resolve(answer);
            else reject(error);
          },
        );
      });
    for (const service of ['', 'readiness', 'liveness', 'envoy.service.ext_proc.v3.ExternalProcessor'])
      expect(await ask(service)).toEqual({ status: 1 });
    expect(await ask('other')).toEqual({ status: 3 });
  });
});

describe('metrics', () => {
  it('count what was sent and refused, and the pods by what is heard of them', async () => {
    const text = await (await fetch(`http://127.0.0.1:${router.metricsPort}/metrics`)).text();
    expect(text).toMatch(/^sponge_route_sent_total\{pod="127\.0\.0\.1:\d+",reason="(least|most)-to-spare"\} \d+$/m);
    expect(text).toMatch(/^sponge_route_refused_total\{reason="infeasible_at_max_cores"\} 2$/m);
    expect(text).toContain('sponge_route_pods{contact="reporting"} 2');
  });
});
