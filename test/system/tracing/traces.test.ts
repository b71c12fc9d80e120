import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { floatTensor, GrpcClient, grpcRequest, http, infer, inferBinary, scrape } from '../server/clients.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { embedder, writeTextModel } from '../text/tiny-text.js';
import { Collector, type CollectedSpan } from './collector.js';

/*
 * Spans of a server that is started with `--otlp-endpoint`, as a collector gets them: whole traces of calls over REST and gRPC and of pipelines,
 * those of late and refused ones whatever the ratio, and a server that does not care what its collector does.
 */

const bench = new TestBench();
afterAll(() => bench.close());

const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] } as const;
const TENSOR = floatTensor('x', [1, 4], Float32Array.of(1, 2, 3, 4));

/** A caller's span. */
function caller(isSampled: boolean) {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  const traceparent = `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}`;
  return { traceId, spanId, headers: { traceparent, tracestate: 'vendor=of-its-own' } };
}

const names = (spans: readonly CollectedSpan[]): string[] => spans.map(({ name }) => name).sort();

function the(spans: readonly CollectedSpan[], name: string): CollectedSpan {
  const found = spans.filter((span) => span.name === name);
  if (found.length !== 1) throw new Error(`${found.length} spans are called ${name}, of ${names(spans).join(', ')}`);
  return found[0]!;
}

const server = (spans: readonly CollectedSpan[]): CollectedSpan => spans.find(({ kind }) => kind === 2)!;

/** All spans of it, once those that are awaited are there. */
async function whole(collector: Collector, traceId: string, count: number): Promise<readonly CollectedSpan[]> {
  await eventually(`${count} spans of ${traceId}`, () => collector.trace(traceId).length >= count);
  return collector.trace(traceId);
}

/** Each span lies in its parent, and begins no later than it ends. */
function expectNested(spans: readonly CollectedSpan[]): void {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  for (const { name, parentSpanId, startNs, endNs } of spans) {
    expect(endNs >= startNs, `${name} ends before it begins`).toBe(true);
    const parent = byId.get(parentSpanId);
    if (parent === undefined) continue;
    expect(startNs >= parent.startNs && endNs <= parent.endNs, `${name} lies outside of ${parent.name}`).toBe(true);
  }
}

const SPLIT = `
export default function split({ rows }, call) {
  if (rows.data[0] === -1) throw new Error('no');
  const text = new TextEncoder().encode(call.traceparent + ' ' + call.tracestate);
  const [count] = rows.shape;
  return {
    row: Array.from({ length: count }, (_, i) => ({ shape: [1, 4], data: rows.data.slice(4 * i, 4 * i + 4) })),
    told: { shape: [1], data: [text] },
  };
}`;
const PIPELINE = `
inputs:
  rows: { datatype: FP32, shape: [-1, 4] }
outputs: [echoed, told]
steps:
  - name: split
    function: ./split.mjs
    inputs: { rows: rows }
    outputs: { row: { datatype: FP32, shape: [1, 4], list: true }, told: { datatype: BYTES, shape: [1] } }
  - name: echo
    model: echo
    for_each: x
    inputs: { x: row }
    outputs: { y: echoed }
`;

function writeRepository(): string {
  bench.repository('models', { echo: identity('FP32') });
  bench.file('models/divided/pipeline.yaml', PIPELINE);
  bench.file('models/divided/split.mjs', SPLIT);
  writeTextModel(bench, 'models/words', embedder());
  return bench.path('models');
}

const REQUEST_SPANS = ['admission', 'queue', 'receive', 'reply', 'run'];

describe.each([
  ['one thread', []],
  ['io threads', ['--io-threads', '1']],
])('traces of a server with %s', (_, threads) => {
  let collector: Collector;
  let sponge: RunningServer;
  beforeAll(async () => {
    collector = await Collector.start();
    const flags = ['--no-refine', '--otlp-endpoint', collector.endpoint, '--trace-ratio', '0', ...threads];
    sponge = await bench.serve(writeRepository(), flags, {
      OTEL_EXPORTER_OTLP_HEADERS: 'x-team=ocr%20team',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    });
  });
  afterAll(async () => {
    await sponge.stop();
    await collector.close();
  });

  it('go on where the caller was: a call over REST', async () => {
    const { traceId, spanId, headers } = caller(true);
    const reply = await infer(sponge, 'echo', [INPUT], { headers, id: 'mine', sloMs: 60_000 });
    expect(reply.status).toBe(200);
    const spans = await whole(collector, traceId, 6);
    expect(names(spans)).toEqual(['POST /v2/models/{model}/infer', ...REQUEST_SPANS]);
    const root = server(spans);
    expect(root.parentSpanId).toBe(spanId);
    expect(spans.filter((span) => span !== root).map((span) => span.parentSpanId)).toEqual(Array(5).fill(root.spanId));
    expect(spans.map(({ traceState }) => traceState)).toEqual(Array(6).fill('vendor=of-its-own'));
    expectNested(spans);
    expect(root.statusCode).toBe(0);
    const told = reply.json.parameters!;
    expect(root.attributes).toMatchObject({
      ...{ 'http.request.method': 'POST', 'http.route': '/v2/models/{model}/infer', 'url.scheme': 'http' },
      ...{ 'url.path': '/v2/models/echo/infer', 'http.response.status_code': 200, 'client.address': '127.0.0.1' },
      ...{ 'sponge.model.name': 'echo', 'sponge.model.version': '1', 'sponge.request.id': 'mine' },
      ...{ 'sponge.slo_ms': 60_000, 'sponge.budget.is_default': false, 'sponge.outcome': 'completed_on_time' },
      ...{ 'sponge.batch.size': 1, 'sponge.cpu_millicores': told['sponge_allocation_millicores'] },
    });
    expect(Math.round(1000 * Number(root.attributes['sponge.latency.planned_ms']))).toBe(told['sponge_planned_us']);
    expect(Math.round(1000 * Number(root.attributes['sponge.latency.actual_ms']))).toBe(told['sponge_actual_us']);
    expect(Math.round(1000 * Number(root.attributes['sponge.budget_ms']))).toBe(told['sponge_budget_us']);
    expect(Number(root.attributes['sponge.slack_ms'])).toBeGreaterThan(0);
    expect(root.resource).toMatchObject({
      ...{ 'service.name': 'sponge', 'deployment.environment.name': 'test', 'telemetry.sdk.language': 'nodejs' },
    });
    expect(collector.requests[0]).toMatchObject({ path: '/v1/traces', headers: { 'x-team': 'ocr team' } });
  });

  it('go on where the caller was: a call over gRPC', async () => {
    const { traceId, spanId, headers } = caller(true);
    const client = new GrpcClient(sponge);
    const { error } = await client.infer(grpcRequest('echo', [TENSOR]), { metadata: headers, deadlineMs: 60_000 });
    client.close();
    expect(error).toBeNull();
    const spans = await whole(collector, traceId, 6);
    expect(names(spans)).toEqual([...REQUEST_SPANS, 'inference.GRPCInferenceService/ModelInfer'].sort());
    const root = server(spans);
    expect(root.parentSpanId).toBe(spanId);
    expectNested(spans);
    expect(root.attributes).toMatchObject({
      ...{ 'rpc.system.name': 'grpc', 'rpc.method': 'inference.GRPCInferenceService/ModelInfer' },
      ...{ 'rpc.response.status_code': 'OK', 'sponge.model.name': 'echo', 'sponge.outcome': 'completed_on_time' },
    });
  });

  it('have one span for a batch, linked with all its members', async () => {
    const callers = Array.from({ length: 24 }, () => caller(true));
    const replies = await Promise.all(callers.map(({ headers }) => infer(sponge, 'echo', [INPUT], { headers })));
    expect(replies.map(({ status }) => status)).toEqual(Array(24).fill(200));
    const traces = await Promise.all(callers.map(({ traceId }) => whole(collector, traceId, 6)));
    const runs = traces.map((spans) => the(spans, 'run'));
    const isBatchOf = (span: CollectedSpan): boolean => runs.some((run) => run.links[0]!.spanId === span.spanId);
    const expected = new Set(runs.map((run) => run.links[0]!.spanId)).size;
    await eventually('the batches', () => collector.spans.filter(isBatchOf).length === expected);
    const batches = collector.spans.filter(isBatchOf);
    for (const batch of batches) {
      expect(batch).toMatchObject({ name: 'batch echo', parentSpanId: '', traceState: '' });
      expect(batch.links).toHaveLength(Number(batch.attributes['sponge.batch.size']));
      expect(batch.attributes['sponge.batch.result']).toBe('completed');
      for (const name of ['predicted', 'planned', 'actual'])
        expect(Number(batch.attributes[`sponge.latency.${name}_ms`])).toBeGreaterThan(0);
    }
    // Both ways: what a member's run is linked with has that member.
    traces.forEach((spans, i) => {
      const [link] = runs[i]!.links;
      const batch = batches.find(({ spanId }) => spanId === link!.spanId)!;
      expect(batch.traceId).toBe(link!.traceId);
      expect(batch.links).toContainEqual({ traceId: callers[i]!.traceId, spanId: server(spans).spanId });
    });
    expect(batches.reduce((sum, { links }) => sum + links.length, 0)).toBe(24);
  });

  it('have the steps of a pipeline below its call, and tell its functions of it', async () => {
    const { traceId, spanId, headers } = caller(true);
    const rows = floatTensor(
      'rows',
      [3, 4],
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    const reply = await inferBinary(sponge, 'divided', [rows], { headers, sloMs: 60_000 });
    expect(reply.status, reply.json.error).toBe(200);
    await eventually('the steps', () => names(collector.trace(traceId)).includes('run'));
    const spans = collector.trace(traceId);
    const root = server(spans);
    expect(root.parentSpanId).toBe(spanId);
    expect(root.attributes).toMatchObject({ 'sponge.model.name': 'divided', 'sponge.outcome': 'completed_on_time' });
    const below = (span: CollectedSpan): string[] => names(spans.filter((each) => each.parentSpanId === span.spanId));
    expect(below(root)).toEqual(['admission', 'receive', 'reply', 'step echo', 'step split']);
    const [split, echo] = [the(spans, 'step split'), the(spans, 'step echo')];
    expect(split.attributes).toMatchObject({ 'sponge.step.kind': 'function', 'sponge.step.parts': 1 });
    expect(echo.attributes).toMatchObject({ 'sponge.model.name': 'echo', 'sponge.step.parts': 3 });
    expect(below(split)).toEqual(['function', 'queue']);
    const runs = spans.filter(({ name, parentSpanId }) => name === 'run' && parentSpanId === echo.spanId);
    // Parts that shared a batch share a span.
    expect(runs.reduce((sum, run) => sum + Number(run.attributes['sponge.step.parts'] ?? 1), 0)).toBe(3);
    expect(echo.startNs >= split.endNs).toBe(true);
    expectNested(spans);
    const told = reply.bytes.toString('latin1');
    const own = the(spans, 'function').spanId;
    expect(told).toContain(`00-${traceId}-${own}-01 vendor=of-its-own`);
  });

  it('go on where the caller was: texts as OpenAI has them', async () => {
    const { traceId, spanId, headers } = caller(true);
    const body = { model: 'words', input: ['one text', 'another'] };
    const reply = await http(`${sponge.rest}/v1/embeddings`, { method: 'POST', headers, body });
    expect(reply.status).toBe(200);
    await eventually('the steps', () => names(collector.trace(traceId)).includes('run'));
    const spans = collector.trace(traceId);
    expect(server(spans)).toMatchObject({ name: 'POST /v1/embeddings', parentSpanId: spanId });
    expect(names(spans).filter((name) => name.startsWith('step '))).toHaveLength(2);
    expectNested(spans);
  });

  it('have those of refused, failed and late requests whatever the caller and the ratio say, and no others', async () => {
    const [refused, failed, late, fine] = [caller(false), caller(false), caller(false), caller(false)];
    const sent = { headers: refused.headers, sloMs: 0.001 };
    expect((await infer(sponge, 'echo', [INPUT], sent)).status).toBe(504);
    const rows = floatTensor('rows', [1, 4], Float32Array.of(-1, 0, 0, 0));
    const reply = await inferBinary(sponge, 'divided', [rows], { headers: failed.headers, sloMs: 60_000 });
    expect(reply.status).toBe(500);
    // A budget of its own, which is over before anything can be done, and best effort: it is served all the same.
    const parameters = { best_effort: true };
    const lateReply = await infer(sponge, 'echo', [INPUT], { headers: late.headers, sloMs: 0.001, parameters });
    expect([lateReply.status, lateReply.json.parameters!['sponge_late']]).toEqual([200, true]);
    expect((await infer(sponge, 'echo', [INPUT], { headers: fine.headers, sloMs: 60_000 })).status).toBe(200);
    expect((await infer(sponge, 'echo', [INPUT], { sloMs: 60_000 })).status).toBe(200);

    const ofRefused = await whole(collector, refused.traceId, 3);
    expect(names(ofRefused)).toContain('admission');
    expect(server(ofRefused)).toMatchObject({ parentSpanId: refused.spanId, statusCode: 2 });
    expect(server(ofRefused).attributes).toMatchObject({
      ...{ 'sponge.outcome': 'rejected_infeasible', 'http.response.status_code': 504 },
      'error.type': server(ofRefused).attributes['sponge.reason'],
    });
    const ofFailed = await whole(collector, failed.traceId, 6);
    expect(server(ofFailed).attributes).toMatchObject({ 'sponge.outcome': 'failed', 'error.type': 'backend' });
    expect(the(ofFailed, 'step split').attributes['sponge.reason']).toBe('backend');
    const ofLate = await whole(collector, late.traceId, 6);
    expect(server(ofLate).attributes['sponge.outcome']).toBe('completed_late');
    expect(Number(server(ofLate).attributes['sponge.slack_ms'])).toBeLessThan(0);
    // Whatever comes is sent in order: when these are there, the others would be.
    const last = caller(true);
    await infer(sponge, 'echo', [INPUT], { headers: last.headers });
    await whole(collector, last.traceId, 6);
    expect(collector.trace(fine.traceId)).toEqual([]);
    // Of calls without a caller's trace there is none but the batches'.
    expect(collector.spans.filter(({ kind, parentSpanId }) => kind === 2 && parentSpanId === '')).toEqual([]);
  });

  it('do not refuse a call for what its headers say', async () => {
    const before = collector.spans.length;
    const bad = [
      '',
      '00',
      'garbage',
      `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`,
      `ff-${'1'.repeat(32)}-${'1'.repeat(16)}-01`,
    ];
    for (const traceparent of [...bad, 'x'.repeat(4000), `00-${'1'.repeat(32)}-${'1'.repeat(16)}-01, again`]) {
      const headers = { traceparent, tracestate: '=,=;' };
      expect((await infer(sponge, 'echo', [INPUT], { headers })).status).toBe(200);
    }
    const last = caller(true);
    await infer(sponge, 'echo', [INPUT], { headers: { ...last.headers, tracestate: '===' } });
    const spans = await whole(collector, last.traceId, 6);
    expect(spans.map(({ traceState }) => traceState)).toEqual(Array(6).fill(''));
    expect(collector.spans.slice(before).filter(({ kind }) => kind === 2)).toHaveLength(1);
  });

  it('stand beside metrics of each step, and a description of the pipeline as of a model', async () => {
    const metrics = await scrape(sponge);
    const parts = (step: string, result: string): number =>
      metrics.sum('sponge_pipeline_step_parts_total', { model: 'divided', step, result });
    // One call of three rows, and one whose function threw.
    expect([parts('split', 'done'), parts('split', 'lost'), parts('echo', 'done')]).toEqual([1, 1, 3]);
    expect(metrics.sum('sponge_pipeline_drops_total', { step: 'split', reason: 'backend' })).toBe(1);
    for (const step of ['split', 'echo']) {
      for (const state of ['waiting', 'running'])
        expect(metrics.sum('sponge_pipeline_step_parts', { step, state }), `${step} ${state}`).toBe(0);
      expect(metrics.sum('sponge_pipeline_step_core_seconds_total', { step })).toBeGreaterThan(0);
    }
    const { paths } = (await http(`${sponge.rest}/v2/openapi.json`)).json as unknown as { paths: object };
    expect(paths).toHaveProperty(['/v2/models/divided/infer']);
  });

  it('of a call that is no request have what it was told', async () => {
    const { traceId, headers } = caller(true);
    expect((await infer(sponge, 'echo', [{ ...INPUT, name: 'z' }], { headers })).status).toBe(400);
    const spans = await whole(collector, traceId, 2);
    expect(names(spans)).toEqual(['POST /v2/models/{model}/infer', 'receive']);
    expect(server(spans).attributes).toMatchObject({ 'http.response.status_code': 400, 'error.type': '400' });
    expect(server(spans).statusCode).toBe(0);
  });
});

describe('a collector', () => {
  /** Requests are answered, and at last so many spans are counted as not taken. */
  async function expectUnaffected(sponge: RunningServer, result: string): Promise<void> {
    for (let i = 0; i < 20; i++) expect((await infer(sponge, 'echo', [INPUT], { sloMs: 60_000 })).status).toBe(200);
    await eventually(`spans that ${result}`, async () => {
      const metrics = await scrape(sponge);
      return metrics.names.has('sponge_trace_spans_total') && metrics.sum('sponge_trace_spans_total', { result }) > 0;
    });
    for (let i = 0; i < 20; i++) expect((await infer(sponge, 'echo', [INPUT], { sloMs: 60_000 })).status).toBe(200);
  }

  it.each(['failing', 'hanging', 'down'] as const)('that is %s costs no request, and one line', async (behaviour) => {
    const collector = await Collector.start();
    const { endpoint } = collector;
    if (behaviour === 'down') await collector.close();
    else collector.behaviour = behaviour;
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: '1000' };
    const sponge = await bench.serve(writeRepository(), ['--no-refine'], env);
    await expectUnaffected(sponge, 'failed');
    await expectUnaffected(sponge, 'failed');
    expect(sponge.log.match(/takes no spans/g)).toHaveLength(1);
    expect(await sponge.stop()).toEqual({ code: 0, signal: null });
    if (behaviour !== 'down') await collector.close();
  });

  it('that answers without an end costs no request', async () => {
    const collector = await Collector.start();
    collector.behaviour = 'slow';
    const sponge = await bench.serve(writeRepository(), ['--no-refine', '--otlp-endpoint', collector.endpoint]);
    for (let i = 0; i < 100; i++) expect((await infer(sponge, 'echo', [INPUT], { sloMs: 60_000 })).status).toBe(200);
    await eventually('what it was sent', () => collector.requests.length > 0);
    expect(await sponge.stop()).toEqual({ code: 0, signal: null });
    await collector.close();
  });
});

describe('a server that nobody asks for spans', () => {
  it('loads nothing of it, in any of its threads', async () => {
    const sponge = await bench.serve(writeRepository(), ['--no-refine']);
    const { headers } = caller(true);
    expect((await infer(sponge, 'echo', [INPUT], { headers })).status).toBe(200);
    const threads = threadsOf(sponge.pid);
    const metrics = await scrape(sponge);
    expect(metrics.names.has('sponge_trace_spans_total')).toBe(false);
    await sponge.stop();
    const collector = await Collector.start();
    const traced = await bench.serve(writeRepository(), ['--no-refine', '--otlp-endpoint', collector.endpoint]);
    expect((await http(`${traced.rest}/v2/health/ready`)).status).toBe(200);
    expect(threadsOf(traced.pid)).toBeGreaterThan(threads);
    await traced.stop();
    await collector.close();
  });

  it('is told in one line what it cannot be asked for', async () => {
    const path = writeRepository();
    const wrong = await bench.serveFailing(path, ['--otlp-endpoint', 'collector:4317']);
    expect(wrong.stderr.trim()).toBe('sponge: --otlp-endpoint: expected http://host:4318 or https://…, OTLP over HTTP');
    const ratio = await bench.serveFailing(path, ['--trace-ratio', '2']);
    expect(ratio.stderr).toContain('expected a number from 0 to 1');
  });
});

/** Threads of a process, from proc_pid_status(5). */
function threadsOf(pid: number): number {
  return Number(/^Threads:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}
