import { z } from 'zod';
import { cpuQuantity, millicoresOf } from '../../../kubernetes/quantity.js';

/*
 * What our own pod says of its CPU: what was asked for, what became of it, and who else has a hand in it. And the PATCH that asks for more
 * or less, within the rules of `pods/resize`.
 */

const quantities = z.record(z.string(), z.union([z.string(), z.number()])).nullish();
const resources = z.object({ requests: quantities, limits: quantities }).nullish();

/** As far as it is looked at. */
const podSchema = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    generation: z.number().optional(),
    annotations: z.record(z.string(), z.string()).nullish(),
    managedFields: z
      .array(
        z.object({ manager: z.string().optional(), subresource: z.string().optional(), time: z.string().optional() }),
      )
      .nullish(),
  }),
  spec: z.object({ containers: z.array(z.object({ name: z.string(), resources })) }),
  status: z
    .object({
      qosClass: z.string().optional(),
      observedGeneration: z.number().optional(),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().optional(),
            message: z.string().optional(),
            observedGeneration: z.number().optional(),
          }),
        )
        .nullish(),
      containerStatuses: z.array(z.object({ name: z.string(), allocatedResources: quantities })).nullish(),
    })
    .nullish(),
});

export type OwnPod = z.infer<typeof podSchema>;

export function readPod(json: unknown): OwnPod | null {
  return podSchema.safeParse(json).data ?? null;
}

export interface PodCpu {
  readonly container: string;
  readonly generation: number;
  /** The kubelet has looked at so much of it. */
  readonly observedGeneration: number;
  readonly qosClass: string;
  /** Null where there is none. */
  readonly limitMillicores: number | null;
  readonly requestMillicores: number | null;
  /** What the node has set aside for it; null where it does not say. */
  readonly allocatedMillicores: number | null;
  /** Every resource but this container's CPU is requested up to its limit: with its CPU too the pod would be Guaranteed. */
  readonly isOtherwiseEven: boolean;
  /** A resize is put off or impossible; null while none is. */
  readonly pending: { readonly reason: string; readonly message: string } | null;
  /** A resize has failed on the node and is tried again; null while none has. */
  readonly error: string | null;
  /** Whose field manager changed resources last, by `pods/resize`; null where nobody did. */
  readonly resizedBy: string | null;
  /** What a vertical pod autoscaler has left on it; null where none has. */
  readonly autoscaler: string | null;
}

/** Names that a container of ours has where a pod has several: ours in the chart, and KServe's. */
const OUR_CONTAINERS = ['sponge', 'kserve-container'];

/** @throws Error, in one line with its remedy, where it cannot be told which container is ours */
export function cpuOf({ metadata, spec, status }: OwnPod, named: string | null): PodCpu {
  const names = spec.containers.map(({ name }) => name);
  const container = named ?? (names.length === 1 ? names[0] : names.find((name) => OUR_CONTAINERS.includes(name)));
  const own = spec.containers.find(({ name }) => name === container);
  if (own === undefined) {
    throw new Error(
      `pod ${metadata.name} has containers ${names.join(', ')}${named === null ? '' : ` and no ${named}`}: ` +
        'say which is ours with --kubernetes-container',
    );
  }
  const conditions = (status?.conditions ?? []).filter((each) => each.status === 'True');
  const pending = conditions.find(({ type }) => type === 'PodResizePending');
  const failing = conditions.find(({ type, reason }) => type === 'PodResizeInProgress' && reason === 'Error');
  const resizers = (metadata.managedFields ?? []).filter(({ subresource }) => subresource === 'resize');
  const [latest] = resizers.sort((a, b) => (b.time ?? '').localeCompare(a.time ?? ''));
  const allocated = status?.containerStatuses?.find(({ name }) => name === own.name)?.allocatedResources;
  const annotations = Object.entries(metadata.annotations ?? {});
  const vpa = annotations.find(([key]) => /^vpa(?:Updates|ObservedContainers|InPlaceUpdated)$/.test(key));
  return {
    container: own.name,
    generation: metadata.generation ?? 0,
    observedGeneration: pending?.observedGeneration ?? status?.observedGeneration ?? 0,
    qosClass: status?.qosClass ?? '',
    limitMillicores: millicoresOf(own.resources?.limits?.['cpu']),
    requestMillicores: millicoresOf(own.resources?.requests?.['cpu']),
    allocatedMillicores: millicoresOf(allocated?.['cpu']),
    isOtherwiseEven: spec.containers.every((each) => isEven(each.resources, each.name === own.name)),
    pending: pending === undefined ? null : { reason: pending.reason ?? '', message: pending.message ?? '' },
    error: failing?.message ?? null,
    resizedBy: latest?.manager ?? null,
    autoscaler: vpa === undefined ? null : `${vpa[0]}: ${vpa[1]}`.slice(0, 200),
  };
}

function isEven(of: z.infer<typeof resources>, isOurs: boolean): boolean {
  const names = isOurs ? ['memory'] : ['memory', 'cpu'];
  return names.every((name) => {
    const limit = of?.limits?.[name];
    return limit !== undefined && String(of?.requests?.[name] ?? limit) === String(limit);
  });
}

/**
 * A strategic merge patch, so that nothing else of the pod is touched and nothing has to be read before. Of a Guaranteed pod request and
 * limit move together, as its QoS class may not change; of another one the request stays, or follows below the limit where asked.
 */
export function resizePatch(cpu: PodCpu, limitMillicores: number, isRequestFollowing: boolean): object {
  const limits = { cpu: cpuQuantity(limitMillicores) };
  const request = requestFor(cpu, limitMillicores, isRequestFollowing);
  const changed = { limits, ...(request === null ? {} : { requests: { cpu: cpuQuantity(request) } }) };
  return { spec: { containers: [{ name: cpu.container, resources: changed }] } };
}

/** Null: it stays as it is. */
function requestFor(cpu: PodCpu, limitMillicores: number, isFollowing: boolean): number | null {
  if (cpu.qosClass === 'Guaranteed') return limitMillicores;
  if (isFollowing) return cpu.isOtherwiseEven ? limitMillicores - 1 : limitMillicores;
  return null;
}

/** The least limit: not below a request that stays. */
export function leastLimit({ qosClass, requestMillicores }: PodCpu, isRequestFollowing: boolean): number {
  return qosClass === 'Guaranteed' || isRequestFollowing ? 0 : (requestMillicores ?? 0);
}
