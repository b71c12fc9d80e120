import { z } from 'zod';
import { millicoresOf } from '../../kubernetes/quantity.js';
import { cpuOf, readPod, type PodCpu } from '../scalers/kubernetes/own-pod.js';

/* What is looked at of a cluster's objects: workloads, their pods, and who else might decide about them. */

const meta = z.object({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
});

const workloadSchema = z.object({
  metadata: meta,
  spec: z.object({
    replicas: z.number().int().min(0).optional(),
    selector: z.object({
      matchLabels: z.record(z.string(), z.string()).nullish(),
      matchExpressions: z
        .array(z.object({ key: z.string(), operator: z.string(), values: z.array(z.string()).nullish() }))
        .nullish(),
    }),
    template: z.unknown(),
  }),
});

export type WorkloadKind = 'Deployment' | 'StatefulSet';

export interface Workload {
  readonly kind: WorkloadKind;
  readonly metadata: z.infer<typeof meta>;
  readonly replicas: number;
  /** Of its pods, as a query has it. */
  readonly podSelector: string;
  /** CPU limit of our container in its template; null where there is none. */
  readonly templateMillicores: number | null;
}

export function readWorkload(kind: WorkloadKind, container: string | null): (json: unknown) => Workload | null {
  return (json) => {
    const read = workloadSchema.safeParse(json).data;
    if (read === undefined) return null;
    const { metadata, spec } = read;
    const template = readPod({
      metadata: { name: metadata.name },
      spec: (spec.template as { spec?: unknown } | null)?.spec,
    });
    let templateMillicores: number | null = null;
    try {
      if (template !== null) templateMillicores = cpuOf(template, container).limitMillicores;
    } catch {
      // Which container is ours is told of its pods.
    }
    return {
      kind,
      metadata,
      replicas: spec.replicas ?? 1,
      podSelector: selectorText(spec.selector),
      templateMillicores,
    };
  };
}

function selectorText({ matchLabels, matchExpressions }: z.infer<typeof workloadSchema>['spec']['selector']): string {
  const labels = Object.entries(matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const expressions = (matchExpressions ?? []).map(({ key, operator, values }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${(values ?? []).join(',')})`;
  });
  return [...labels, ...expressions].join(',');
}

const podExtra = z.object({
  metadata: meta.extend({ deletionTimestamp: z.string().nullish() }),
  status: z
    .object({
      phase: z.string().optional(),
      podIP: z.string().optional(),
      conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
      containerStatuses: z
        .array(
          z.object({
            name: z.string(),
            resources: z
              .object({ limits: z.record(z.string(), z.union([z.string(), z.number()])).nullish() })
              .nullish(),
          }),
        )
        .nullish(),
    })
    .nullish(),
});

export interface ClusterPod {
  readonly metadata: z.infer<typeof meta>;
  readonly isReady: boolean;
  readonly isLeaving: boolean;
  /** It has ended, and is no pod any more. */
  readonly isOver: boolean;
  readonly address: string | null;
  readonly cpu: PodCpu;
  /** Of the whole container, as the kubelet says; null where there is no limit. */
  readonly limitInForceMillicores: number | null;
}

export function readClusterPod(container: string | null): (json: unknown) => ClusterPod | null {
  return (json) => {
    const pod = readPod(json);
    const extra = podExtra.safeParse(json).data;
    if (pod === null || extra === undefined) return null;
    let cpu: PodCpu;
    try {
      cpu = cpuOf(pod, container);
    } catch {
      return null;
    }
    const { metadata, status } = extra;
    const inForce = status?.containerStatuses?.find(({ name }) => name === cpu.container)?.resources?.limits?.['cpu'];
    return {
      metadata,
      isReady: status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true,
      isLeaving: typeof metadata.deletionTimestamp === 'string',
      isOver: status?.phase === 'Succeeded' || status?.phase === 'Failed',
      address: status?.podIP ?? null,
      cpu,
      limitInForceMillicores: millicoresOf(inForce) ?? (cpu.pending === null ? cpu.limitMillicores : null),
    };
  };
}

/** Who else decides how many pods there are, or how large. */
export interface Rival {
  readonly metadata: z.infer<typeof meta>;
  readonly kind: 'HorizontalPodAutoscaler' | 'VerticalPodAutoscaler' | 'ScaledObject';
  readonly target: { readonly kind: string; readonly name: string };
  /** It only recommends. */
  readonly isOff: boolean;
}

const reference = z.object({ kind: z.string().optional(), name: z.string() });

const rivalSchema = z.object({
  metadata: meta.extend({ annotations: z.record(z.string(), z.string()).nullish() }),
  spec: z.object({
    scaleTargetRef: reference.optional(),
    targetRef: reference.optional(),
    updatePolicy: z.object({ updateMode: z.string().optional() }).nullish(),
  }),
});

export const RIVAL_KINDS = [
  { kind: 'HorizontalPodAutoscaler', group: 'autoscaling/v2', resource: 'horizontalpodautoscalers' },
  { kind: 'VerticalPodAutoscaler', group: 'autoscaling.k8s.io/v1', resource: 'verticalpodautoscalers' },
  { kind: 'ScaledObject', group: 'keda.sh/v1alpha1', resource: 'scaledobjects' },
] as const;

export function readRival(kind: Rival['kind']): (json: unknown) => Rival | null {
  return (json) => {
    const read = rivalSchema.safeParse(json).data;
    const target = read?.spec.scaleTargetRef ?? read?.spec.targetRef;
    if (read === undefined || target === undefined) return null;
    return {
      metadata: read.metadata,
      kind,
      // KEDA's default.
      target: { kind: target.kind ?? 'Deployment', name: target.name },
      isOff: kind === 'VerticalPodAutoscaler' && read.spec.updatePolicy?.updateMode === 'Off',
    };
  };
}
