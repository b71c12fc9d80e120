import { describe, expect, it } from 'vitest';
import { cpuOf, leastLimit, readPod, resizePatch, type OwnPod } from './own-pod.js';

interface Sizes {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
}

function pod(resources: Sizes, rest: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}): OwnPod {
  const json = {
    metadata: { name: 'ocr', generation: 3, ...metadata },
    spec: { containers: [{ name: 'sponge', resources }] },
    status: { qosClass: 'Burstable', observedGeneration: 3, ...rest },
  };
  const read = readPod(JSON.parse(JSON.stringify(json)));
  if (read === null) throw new Error('not read');
  return read;
}

const EVEN = { requests: { cpu: '500m', memory: '1Gi' }, limits: { cpu: '500m', memory: '1Gi' } };
const LOOSE = { requests: { cpu: '500m' }, limits: { cpu: '2' } };

describe("what our own pod says of its container's CPU", () => {
  it('is limit, request, what the node has set aside, and that nothing is pending', () => {
    const status = { containerStatuses: [{ name: 'sponge', allocatedResources: { cpu: '500m' } }] };
    expect(cpuOf(pod(LOOSE, status), null)).toEqual({
      container: 'sponge',
      generation: 3,
      observedGeneration: 3,
      qosClass: 'Burstable',
      limitMillicores: 2000,
      requestMillicores: 500,
      allocatedMillicores: 500,
      isOtherwiseEven: false,
      pending: null,
      error: null,
      resizedBy: null,
      autoscaler: null,
    });
  });

  it('is why a resize is pending, and of which generation', () => {
    const conditions = [
      { type: 'Ready', status: 'True' },
      { type: 'PodResizePending', status: 'True', reason: 'Deferred', message: 'no room', observedGeneration: 2 },
      { type: 'PodResizeInProgress', status: 'True', reason: 'Error', message: 'EINVAL' },
    ];
    const cpu = cpuOf(pod(LOOSE, { conditions }), null);
    expect(cpu).toMatchObject({
      pending: { reason: 'Deferred', message: 'no room' },
      error: 'EINVAL',
      observedGeneration: 2,
    });
    const over = conditions.map((condition) => ({ ...condition, status: 'False' }));
    expect(cpuOf(pod(LOOSE, { conditions: over }), null)).toMatchObject({ pending: null, error: null });
  });

  it('names who resized last, and a vertical pod autoscaler', () => {
    const managedFields = [
      { manager: 'sponge', subresource: 'resize', time: '2026-11-29T10:00:00Z' },
      { manager: 'vpa-updater', subresource: 'resize', time: '2026-11-29T10:05:00Z' },
      { manager: 'kubelet', subresource: 'status', time: '2026-11-29T10:06:00Z' },
    ];
    const annotations = { vpaUpdates: 'Pod resources updated by v' };
    expect(cpuOf(pod(LOOSE, {}, { managedFields, annotations }), null)).toMatchObject({
      resizedBy: 'vpa-updater',
      autoscaler: 'vpaUpdates: Pod resources updated by v',
    });
  });

  it.each([
    [['a'], null, 'a'],
    [['a', 'kserve-container'], null, 'kserve-container'],
    [['istio-proxy', 'sponge'], null, 'sponge'],
    [['a', 'b'], 'b', 'b'],
  ])('of containers %j, named %s, is that of %s', (names, named, own) => {
    const containers = names.map((name) => ({ name }));
    expect(cpuOf({ ...pod(LOOSE), spec: { containers } }, named).container).toBe(own);
  });

  it.each([
    [null, 'has containers a, b: say which is ours'],
    ['c', 'has containers a, b and no c: say which is ours'],
  ])('without a container of ours (%s) asks for it', (named, message) => {
    const containers = [{ name: 'a' }, { name: 'b' }];
    expect(() => cpuOf({ ...pod(LOOSE), spec: { containers } }, named)).toThrow(message);
  });

  it('is nothing where it is no pod', () => {
    expect(readPod({ kind: 'Status' })).toBeNull();
    expect(readPod(null)).toBeNull();
  });
});

describe('the PATCH that resizes it', () => {
  const resources = (of: OwnPod, limit: number, follows: boolean): unknown => {
    const patch = resizePatch(cpuOf(of, null), limit, follows) as { spec: { containers: { resources: unknown }[] } };
    expect(patch.spec.containers).toHaveLength(1);
    return patch.spec.containers[0]!.resources;
  };

  it('moves only the limit of a pod that reserves less than it may use', () => {
    expect(resources(pod(LOOSE), 1500, false)).toEqual({ limits: { cpu: '1500m' } });
    expect(leastLimit(cpuOf(pod(LOOSE), null), false)).toBe(500);
  });

  it('moves both of a Guaranteed pod, whatever is asked: its class may not change', () => {
    const guaranteed = pod(EVEN, { qosClass: 'Guaranteed' });
    const both = { limits: { cpu: '2' }, requests: { cpu: '2' } };
    expect(resources(guaranteed, 2000, false)).toEqual(both);
    expect(leastLimit(cpuOf(guaranteed, null), false)).toBe(0);
  });

  it('moves the request with it where asked, but never makes a Burstable pod Guaranteed', () => {
    expect(resources(pod(LOOSE), 1500, true)).toEqual({ limits: { cpu: '1500m' }, requests: { cpu: '1500m' } });
    const evenMemory = { ...EVEN, requests: { cpu: '100m', memory: '1Gi' } };
    expect(resources(pod(evenMemory), 1500, true)).toEqual({ limits: { cpu: '1500m' }, requests: { cpu: '1499m' } });
  });
});
