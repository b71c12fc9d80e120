import { millicoresOf } from '../../../../src/kubernetes/quantity.js';
import type { StoredObject } from './objects.js';

/*
 * The rules of `pods/resize` as Kubernetes 1.35 has them: what a PATCH may change, and what it may not make of a pod.
 */

export interface Resources {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
}

export interface StubContainer {
  name: string;
  resources?: Resources;
  resizePolicy?: { resourceName: string; restartPolicy: string }[];
}

export interface StubPod extends StoredObject {
  spec: { containers: StubContainer[]; nodeName?: string };
  status: {
    phase: string;
    qosClass: string;
    observedGeneration?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    containerStatuses?: { name: string; resources?: Resources; allocatedResources?: Record<string, string> }[];
  };
}

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

export function qosClassOf({ spec }: Pick<StubPod, 'spec'>): QosClass {
  const of = (container: StubContainer, kind: 'requests' | 'limits', name: string): number | undefined => {
    const quantity = container.resources?.[kind]?.[name];
    return quantity === undefined ? undefined : name === 'cpu' ? millicoresOf(quantity)! : bytesOf(quantity)!;
  };
  const isEmpty = spec.containers.every(({ resources }) =>
    [resources?.requests, resources?.limits].every((each) => each === undefined || Object.keys(each).length === 0),
  );
  if (isEmpty) return 'BestEffort';
  const isEven = spec.containers.every((container) =>
    ['cpu', 'memory'].every((name) => {
      const limit = of(container, 'limits', name);
      return limit !== undefined && (of(container, 'requests', name) ?? limit) === limit;
    }),
  );
  return isEven ? 'Guaranteed' : 'Burstable';
}

/** The pod as a PATCH would make it; or why not: a 422's message. */
export function resized(pod: StubPod, patch: unknown): { readonly pod: StubPod } | { readonly invalid: string } {
  const changed = structuredClone(pod);
  const { containers, ...otherSpec } = (patch as { spec?: { containers?: StubContainer[] } }).spec ?? {};
  const others = Object.keys(patch as object).filter((key) => key !== 'spec' && key !== 'metadata');
  if (others.length > 0 || Object.keys(otherSpec).length > 0) {
    return invalid('spec', 'only cpu and memory resources are mutable');
  }
  for (const { name, resources, ...rest } of containers ?? []) {
    const container = changed.spec.containers.find((each) => each.name === name);
    if (container === undefined) return invalid('spec.containers', 'pod updates may not add or remove containers');
    if (Object.keys(rest).length > 0) return invalid('spec', 'only cpu and memory resources are mutable');
    for (const kind of ['requests', 'limits'] as const) {
      for (const [resource, quantity] of Object.entries<string | null>(resources?.[kind] ?? {})) {
        if (resource !== 'cpu' && resource !== 'memory') {
          return invalid('spec', 'only cpu and memory resources are mutable');
        }
        if (quantity === null) return invalid(kind, `resource ${kind} cannot be removed`);
        if ((resource === 'cpu' ? millicoresOf(quantity) : bytesOf(quantity)) === null) {
          return invalid(kind, `"${quantity}" is no quantity`);
        }
        container.resources ??= {};
        container.resources[kind] ??= {};
        container.resources[kind][resource] = quantity;
      }
    }
    const complaint = requestAboveLimit(container) ?? memoryDecrease(pod, container);
    if (complaint !== null) return complaint;
  }
  if (qosClassOf(changed) !== pod.status.qosClass) {
    return invalid('metadata', 'Pod QOS Class may not change as a result of resizing');
  }
  return { pod: changed };
}

function requestAboveLimit({ resources }: StubContainer): { invalid: string } | null {
  const request = millicoresOf(resources?.requests?.['cpu']);
  const limit = millicoresOf(resources?.limits?.['cpu']);
  if (request !== null && limit !== null && request > limit) {
    return invalid('requests', `must be less than or equal to cpu limit of ${resources!.limits!['cpu']!}`);
  }
  const memoryRequest = resources?.requests?.['memory'];
  const memoryLimit = resources?.limits?.['memory'];
  const isAbove =
    memoryRequest !== undefined && memoryLimit !== undefined && bytesOf(memoryRequest)! > bytesOf(memoryLimit)!;
  return isAbove ? invalid('requests', `must be less than or equal to memory limit of ${memoryLimit}`) : null;
}

/** As before 1.35: with another policy a lower memory limit restarts the container, which the kubelet part of this stub cannot. */
function memoryDecrease(before: StubPod, container: StubContainer): { invalid: string } | null {
  const old = before.spec.containers.find(({ name }) => name === container.name)?.resources?.limits?.['memory'];
  const now = container.resources?.limits?.['memory'];
  if (old === undefined || now === undefined || bytesOf(now)! >= bytesOf(old)!) return null;
  const policy = container.resizePolicy?.find(({ resourceName }) => resourceName === 'memory')?.restartPolicy;
  return policy === undefined || policy === 'NotRequired'
    ? invalid('memory', 'memory limits cannot be decreased unless resizePolicy is RestartContainer')
    : null;
}

const BINARY: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  k: 1e3,
  M: 1e6,
  G: 1e9,
};

function bytesOf(quantity: string): number | null {
  const match = /^(\d+)([KMG]i|[kMG]?)$/.exec(quantity);
  return match === null ? null : Number(match[1]) * BINARY[match[2]!]!;
}

function invalid(field: string, detail: string): { invalid: string } {
  return { invalid: `Pod is invalid: ${field}: Forbidden: ${detail}` };
}
