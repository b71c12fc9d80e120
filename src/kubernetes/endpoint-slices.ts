import { z } from 'zod';
import type { ApiClient } from './api-client.js';
import { watchResource, type Watch, type WatchOptions } from './watch.js';

/*
 * The pods behind a Service, as EndpointSlices tell of them: addresses that can be sent to.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */

/** The same as in the API, as far as it is used here. */
const sliceSchema = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    resourceVersion: z.string().optional(),
  }),
  addressType: z.string(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string()),
        conditions: z
          .object({
            ready: z.boolean().nullish(),
            serving: z.boolean().nullish(),
            terminating: z.boolean().nullish(),
          })
          .nullish(),
        targetRef: z.object({ kind: z.string().optional(), name: z.string().optional() }).nullish(),
        zone: z.string().nullish(),
      }),
    )
    .nullish(),
  ports: z.array(z.object({ name: z.string().nullish(), port: z.number().nullish() })).nullish(),
});

export type EndpointSlice = z.infer<typeof sliceSchema>;

/** One pod that takes calls. */
export interface EndpointAddress {
  /** IP; of IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** The pod's name; null where a slice names none. */
  readonly pod: string | null;
  readonly zone: string | null;
}

/**
 * Each address once, in a fixed order. An endpoint that does not say whether it is ready is (as the API defines it); one that is about to
 * end is left out, as it answers what it has and takes nothing new.
 * @param portName of the Service's ports; null: the only one, or the first
 */
export function addressesOf(slices: readonly EndpointSlice[], portName: string | null): readonly EndpointAddress[] {
  const found = new Map<string, EndpointAddress>();
  for (const { endpoints, ports, addressType } of slices) {
    if (addressType === 'FQDN') continue;
    const port = (ports ?? []).find(({ name }) => portName === null || name === portName)?.port;
    if (port === undefined || port === null) continue;
    for (const { addresses, conditions, targetRef, zone } of endpoints ?? []) {
      const isTaking = (conditions?.ready ?? true) && conditions?.terminating !== true;
      // All of an endpoint's addresses are the same pod; the API says to use the first.
      const host = addresses[0];
      if (!isTaking || host === undefined) continue;
      found.set(`${host} ${port}`, { host, port, pod: targetRef?.name ?? null, zone: zone ?? null });
    }
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, address]) => address);
}

export interface ServiceEndpoints extends Pick<
  WatchOptions<EndpointSlice>,
  'onTrouble' | 'onRecovered' | 'maxObjects' | 'times'
> {
  readonly namespace: string;
  readonly service: string;
  readonly portName: string | null;
  /** Whenever they were read or have changed. */
  readonly onAddresses: (addresses: readonly EndpointAddress[]) => void;
}

/** Rights: `list` and `watch` of `endpointslices` in `discovery.k8s.io`. */
export function watchEndpoints(client: ApiClient, options: ServiceEndpoints): Watch {
  const { namespace, service, portName, onAddresses, ...rest } = options;
  let latest: string | null = null;
  return watchResource<EndpointSlice>(client, {
    ...rest,
    resource: {
      name: 'endpointslices',
      path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      labelSelector: `kubernetes.io/service-name=${service}`,
      read: (json) => sliceSchema.safeParse(json).data ?? null,
    },
    onState: (slices) => {
      const addresses = addressesOf(slices, portName);
      const text = JSON.stringify(addresses);
      if (text !== latest) onAddresses(addresses);
      latest = text;
    },
  });
}
