import { describe, expect, it } from 'vitest';
import type { PodDemandReport } from '../../scheduler/domain/demand-report.js';
import { readClusterPod, readRival, readWorkload, type ClusterPod } from './cluster-objects.js';
import { parseDemand } from './demand-schema.js';
import { WorkloadView } from './workload-view.js';

function pod(name: string, fields: { ready?: boolean; pending?: string; leaving?: boolean } = {}): ClusterPod {
  const { ready = true, pending, leaving = false } = fields;
  const conditions = [
    { type: 'Ready', status: ready ? 'True' : 'False' },
    ...(pending === undefined
      ? []
      : [{ type: 'PodResizePending', status: 'True', reason: pending, message: 'no room' }]),
  ];
  return readClusterPod(null)({
    metadata: { name, ...(leaving ? { deletionTimestamp: '2026-11-29T00:00:00Z' } : {}) },
    spec: { containers: [{ name: 'sponge', resources: { requests: { cpu: '200m' }, limits: { cpu: '2250m' } } }] },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      conditions,
      containerStatuses: [{ name: 'sponge', resources: { limits: { cpu: '1250m' } } }],
    },
  })!;
}

function says(arrived: number, fields: Partial<PodDemandReport> = {}): PodDemandReport {
  const model = { name: 'm', version: '1', arrived, ended: arrived, missed: 1, heldRequests: 2, budgetsMs: [300] };
  const latency = { batchSizes: [1], millicores: [1000], plannedMs: [[10]] };
  return {
    ...{ schemaVersion: 1, process: 'p', isDraining: false, resizesItself: false },
    models: [{ ...model, instances: 1, latency }],
    ...fields,
  };
}

describe('what pods say together', () => {
  it('is what came since it was asked last, of each process by itself', () => {
    const view = new WorkloadView();
    const [a, b] = [pod('a'), pod('b')];
    const see = (of: Record<string, PodDemandReport | null>) => view.see([a, b], new Map(Object.entries(of)), 4000);
    expect(see({ a: says(1000), b: says(50) }).models![0]).toMatchObject({ arrived: 0, heldRequests: 4 });
    expect(see({ a: says(1010), b: says(55) }).models![0]).toMatchObject({ arrived: 15, budgetsMs: [300, 300] });
    // b was started anew: what it has counted until it is asked is no rate.
    expect(see({ a: says(1020), b: says(7, { process: 'q' }) }).models![0]!.arrived).toBe(10);
    // Nobody answers for a moment, and then one: it is taken to be half.
    expect(see({ a: null, b: null }).models).toBeNull();
    expect(see({ a: says(1030), b: null }).models![0]!.arrived).toBe(20);
  });

  it('has cores without the router, warm pods that once answered, and what a node says', () => {
    const view = new WorkloadView();
    const pods = [pod('a', { pending: 'Deferred' }), pod('b', { ready: false }), pod('c', { leaving: true })];
    const answers = new Map([['a', says(1, { resizesItself: true })]]);
    const seen = view.see(pods, answers, 4000).pods;
    expect(seen.map(({ phase }) => phase)).toEqual(['warm', 'starting', 'leaving']);
    expect(seen[0]).toMatchObject({
      ...{ inForceMillicores: 1000, wishedMillicores: 2000 },
      ...{ blocked: 'deferred', resizesItself: true },
    });
    expect(view.see(pods, new Map([['a', null]]), 4000).pods[0]!.phase).toBe('warm');
    const draining = new Map([['a', says(1, { isDraining: true })]]);
    expect(view.see(pods, draining, 4000).pods[0]!.phase).toBe('starting');
  });
});

describe('objects of a cluster', () => {
  it('a workload has its selector and its template’s limit', () => {
    const read = readWorkload(
      'Deployment',
      null,
    )({
      metadata: { name: 'ocr', uid: 'u' },
      spec: {
        replicas: 3,
        selector: {
          matchLabels: { app: 'ocr' },
          matchExpressions: [
            { key: 'tier', operator: 'In', values: ['a', 'b'] },
            { key: 'old', operator: 'DoesNotExist' },
          ],
        },
        template: { spec: { containers: [{ name: 'x', resources: { limits: { cpu: '1500m' } } }] } },
      },
    });
    expect(read).toMatchObject({ replicas: 3, podSelector: 'app=ocr,tier in (a,b),!old', templateMillicores: 1500 });
    expect(readWorkload('Deployment', null)({ metadata: {} })).toBeNull();
  });

  it.each([
    ['HorizontalPodAutoscaler', { scaleTargetRef: { kind: 'StatefulSet', name: 'x' } }, 'StatefulSet', false],
    ['VerticalPodAutoscaler', { targetRef: { kind: 'Deployment', name: 'x' } }, 'Deployment', false],
    [
      'VerticalPodAutoscaler',
      { targetRef: { kind: 'Deployment', name: 'x' }, updatePolicy: { updateMode: 'Off' } },
      'Deployment',
      true,
    ],
    ['ScaledObject', { scaleTargetRef: { name: 'x' } }, 'Deployment', false],
  ] as const)('%s of %j is a rival of a %s; off: %s', (kind, spec, targetKind, isOff) => {
    expect(readRival(kind)({ metadata: { name: 'r' }, spec })).toMatchObject({
      target: { kind: targetKind, name: 'x' },
      isOff,
    });
  });
});

it.each([
  ['no JSON', '{'],
  ['another schema', JSON.stringify({ ...says(1), schemaVersion: 2 })],
  ['a negative count', JSON.stringify(says(-1))],
  [
    'a grid with a row too few',
    JSON.stringify({
      ...says(1),
      models: [{ ...says(1).models[0]!, latency: { batchSizes: [1, 2], millicores: [1000], plannedMs: [[10]] } }],
    }),
  ],
])('%s is no demand', (_, text) => {
  expect(parseDemand(text)).toBeNull();
  expect(parseDemand(JSON.stringify(says(5)))).toEqual(says(5));
});
