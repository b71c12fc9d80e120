import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { credentials } from '@grpc/grpc-js';
import { HealthClient } from '../../fixtures/grpc-stubs.js';
import { GrpcClient, grpcRequest, http, infer, scrape, type InferOptions, type Reply } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

const DATA = Array.from({ length: 16 }, (_, i) => i);
const send = (options: InferOptions = {}): Promise<Reply> =>
  infer(
    server,
    'simple',
    ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16], data: DATA })),
    { sloMs: 20_000, ...options },
  );
const tensors = ['INPUT0', 'INPUT1'].map((name) => ({
  name,
  datatype: 'INT32' as const,
  shape: [1, 16],
  data: new Uint8Array(64),
}));

/** What issue and documents promise; a name that goes is a change to announce. */
const PROMISED = [
  'sponge_outcomes_total',
  'sponge_allocation_millicores',
  'sponge_allocated_cpu_seconds_total',
  'sponge_cpu_seconds_total',
  'sponge_resizes_total',
  'sponge_resize_seconds_count',
  'sponge_queue_depth',
  'sponge_event_loop_delay_seconds',
  'sponge_slack_seconds_bucket',
  'sponge_batch_size_bucket',
  'sponge_latency_seconds_bucket',
  'sponge_actual_to_predicted_latency_ratio_bucket',
  'nv_inference_request_success',
  'nv_inference_request_failure',
  'nv_inference_count',
  'nv_inference_exec_count',
  'nv_inference_pending_request_count',
  'nv_inference_request_duration_us',
  'nv_inference_queue_duration_us',
  'nv_inference_compute_input_duration_us',
  'nv_inference_compute_infer_duration_us',
  'nv_inference_compute_output_duration_us',
  'nv_cpu_utilization',
  'nv_cpu_memory_total_bytes',
  'nv_cpu_memory_used_bytes',
];

beforeAll(async () => {
  const flags = ['--no-refine', '--log-format', 'json', '--log-level', 'debug', '--server-name', 'tested'];
  server = await bench.serve(bench.repository('models', { simple: simple() }), flags);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

describe('metrics', () => {
  it('account for every request that reached the queue, and for no other', async () => {
    const before = await scrape(server);
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await send({ id: `request-${i}` })).status);
    statuses.push((await send({ sloMs: 1000, parameters: { sponge_upload_us: 3_000_000 } })).status);
    statuses.push((await send({ version: '9' })).status);
    statuses.push((await infer(server, 'simple', [])).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 504, 404, 400]);
    for (let i = 0; i < 2; i++) expect((await grpc.infer(grpcRequest('simple', tensors))).error).toBeNull();

    const after = await scrape(server);
    const grown = (name: string, labels: Record<string, string> = {}): number =>
      after.sum(name, { model: 'simple', version: '1', ...labels }) -
      before.sum(name, { model: 'simple', version: '1', ...labels });
    // 5 + 2 served, 1 without a budget; 404 and 400 never got so far.
    expect(grown('sponge_outcomes_total')).toBe(8);
    expect(grown('sponge_outcomes_total', { outcome: 'rejected_infeasible', reason: 'budget_spent_in_network' })).toBe(
      1,
    );
    const served =
      grown('sponge_outcomes_total', { outcome: 'completed_on_time' }) +
      grown('sponge_outcomes_total', { outcome: 'completed_late' });
    expect(served).toBe(7);
    expect(grown('nv_inference_request_success')).toBe(7);
    expect(grown('nv_inference_request_failure', { reason: 'REJECTED' })).toBe(1);
    expect(grown('nv_inference_count')).toBe(7);
    expect(grown('nv_inference_exec_count')).toBe(grown('sponge_batch_size_count'));
    expect(grown('sponge_latency_seconds_count', { stage: 'total' })).toBe(7);
    expect(grown('sponge_slack_seconds_count')).toBe(7);
    expect(grown('sponge_network_delay_seconds_count', { source: 'declared_upload' })).toBe(1);
    expect(after.sum('sponge_queue_depth')).toBe(0);
  });

  it('have the names that were promised', async () => {
    const { names } = await scrape(server);
    expect(PROMISED.filter((name) => !names.has(name))).toEqual([]);
  });

  it('are plain text for Prometheus, with help and type for each', async () => {
    const { headers, bytes } = await http(server.metrics);
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = bytes.toString();
    const described = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]!));
    const { names } = await scrape(server);
    const bare = [...names].filter(
      (name) => !described.has(name) && !described.has(name.replace(/_(bucket|sum|count)$/, '')),
    );
    expect(bare).toEqual([]);
  });
});

describe('health, metadata and statistics', () => {
  it('agree over REST and gRPC', async () => {
    const get = async (path: string): Promise<Reply> => http(`${server.rest}/v2${path}`);
    expect((await get('/health/live')).json).toEqual({ live: true });
    expect((await get('/health/ready')).json).toEqual({ ready: true });
    expect((await get('/models/simple/ready')).json).toMatchObject({ name: 'simple', ready: true });
    expect((await grpc.call('serverLive', {})).response.live).toBe(true);
    expect((await grpc.call('serverReady', {})).response.ready).toBe(true);
    expect((await grpc.call('modelReady', { name: 'simple', version: '' })).response.ready).toBe(true);

    const metadata = (await grpc.call('serverMetadata', {})).response;
    expect((await get('')).json).toEqual({
      name: 'tested',
      version: metadata.version,
      extensions: metadata.extensions,
    });
    expect(metadata.name).toBe('tested');

    const model = (await get('/models/simple')).json;
    const viaGrpc = (await grpc.call('modelMetadata', { name: 'simple', version: '' })).response;
    expect(model).toMatchObject({ name: 'simple', versions: viaGrpc.versions, platform: viaGrpc.platform });
    expect(model['inputs']).toEqual(viaGrpc.inputs);
    expect(viaGrpc.inputs[0]).toEqual({ name: 'INPUT0', datatype: 'INT32', shape: [-1, 16] });

    const index = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: {} });
    expect(index.json).toMatchObject([{ name: 'simple', version: '1', state: 'READY' }]);
    const grpcIndex = await grpc.call('repositoryIndex', { repositoryName: '', ready: false });
    expect(grpcIndex.response.models).toMatchObject([{ name: 'simple', version: '1', state: 'READY' }]);

    const stats = (await get('/models/simple/stats')).json as unknown as {
      model_stats: [{ inference_count: number; inference_stats: { success: { count: number } } }];
    };
    const grpcStats = (await grpc.call('modelStatistics', { name: 'simple', version: '' })).response.modelStats[0];
    const metrics = await scrape(server);
    expect(stats.model_stats[0].inference_count).toBe(metrics.sum('nv_inference_count'));
    expect(stats.model_stats[0].inference_stats.success.count).toBe(metrics.sum('nv_inference_request_success'));
    expect(Number(grpcStats?.inferenceCount)).toBe(stats.model_stats[0].inference_count);
  });

  it('answer the health protocol that Kubernetes asks by', async () => {
    const health = new HealthClient(server.grpc, credentials.createInsecure());
    const status = await new Promise((resolve, reject) => {
      health.check({ service: '' }, (error, response) => (error === null ? resolve(response.status) : reject(error)));
    });
    expect(status).toBe(1); // SERVING
    health.close();
  });
});

describe('logs', () => {
  it('are JSON lines that tell predicted and actual latency of each batch, and the id of each request', async () => {
    await send({ id: 'find-me' });
    const lines = (): Record<string, unknown>[] =>
      server.log
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await eventually('the request in the log', () => server.log.includes('find-me'));
    const batch = lines().findLast(({ msg }) => msg === 'batch completed');
    expect(batch).toMatchObject({ level: 'info', model: 'simple', version: '1', batchSize: 1 });
    for (const field of ['predictedLatencyMs', 'plannedLatencyMs', 'latencyMs', 'actualToPredicted', 'cpuMillicores']) {
      expect(batch?.[field], field).toBeTypeOf('number');
    }
  });
});
