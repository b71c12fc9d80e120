import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient } from '../../../src/kubernetes/api-client.js';
import { findClusterAccess } from '../../../src/kubernetes/cluster-access.js';
import { joinedPods, namedPods } from '../../../src/server/route/pod-sources.js';
import { parseService, servicePods } from '../../../src/server/route/service-pods.js';
import { ApiServerStub, NAMESPACE } from './stub/api-server.js';

/* Whom a picker chooses among, from an API server. */

const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
const folder = mkdtempSync(join(tmpdir(), 'sponge-service-pods-'));
let stub: ApiServerStub;
let client: ApiClient;

beforeAll(async () => {
  stub = await ApiServerStub.start();
  stub.rights.set('picker', new Set(['list endpointslices', 'watch endpointslices']));
  const path = join(folder, 'config');
  writeFileSync(path, stub.kubeconfig('picker'));
  client = new ApiClient(await findClusterAccess({ KUBECONFIG: path }), 'sponge-test/1');
});

afterAll(async () => {
  client.close();
  await stub.stop();
  rmSync(folder, { recursive: true });
});

const slice = (name: string, endpoints: readonly object[]): Parameters<typeof stub.objects.put>[1] => ({
  metadata: { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': 'ocr' } },
  addressType: 'IPv4',
  ports: [
    { name: 'grpc', port: 8001 },
    { name: 'http', port: 8000 },
  ],
  endpoints,
});
const at = (host: string, conditions: object = { ready: true }) => ({ addresses: [host], conditions });

describe('the pods of a Service', () => {
  it('are those that its slices have, beside those that are named, without those that end', async () => {
    stub.objects.put(SLICES, slice('ocr-1', [at('10.0.0.1'), at('fd00::7')]));
    const told: (readonly string[])[] = [];
    const troubles: string[] = [];
    const onTrouble = (line: string): number => troubles.push(line);
    const ofService = servicePods({ ...parseService(`${NAMESPACE}/ocr:http`), client, onTrouble });
    const named = namedPods({ endpoints: ['10.9.9.9:8000'], onTrouble });
    const end = joinedPods([named, ofService]).follow((pods) => told.push(pods));
    try {
      await expect.poll(() => told).toEqual([['10.9.9.9:8000', '10.0.0.1:8000', '[fd00::7]:8000']]);
      stub.objects.put(SLICES, slice('ocr-1', [at('10.0.0.1', { ready: false, terminating: true }), at('10.0.0.2')]));
      await expect.poll(() => told.at(-1)).toEqual(['10.9.9.9:8000', '10.0.0.2:8000']);
      expect(troubles).toEqual([]);
    } finally {
      end();
    }
  });

  it('stay where the API server forbids to ask, which is said once', async () => {
    stub.rights.set('picker', new Set());
    const troubles: string[] = [];
    const told: (readonly string[])[] = [];
    const source = servicePods({
      ...parseService(`${NAMESPACE}/ocr`),
      client,
      onTrouble: (line) => troubles.push(line),
      times: { firstPauseMs: 1, longestPauseMs: 1, watchSeconds: 1 },
    });
    const end = source.follow((pods) => told.push(pods));
    try {
      await expect
        .poll(() => troubles)
        .toEqual([expect.stringMatching(/^.*\/ocr: .*no right to list endpointslices \(403\)/)]);
      expect(told).toEqual([]);
    } finally {
      end();
    }
  });

  it.each(['ocr', 'a/b/c', 'a/b:', 'A/b', 'a b/c'])('are no %s', (text) => {
    expect(() => parseService(text)).toThrow(/expected namespace\/service/);
  });
});
