import type { ApiClient } from '../../kubernetes/api-client.js';
import { watchEndpoints } from '../../kubernetes/endpoint-slices.js';
import type { WatchTimes } from '../../kubernetes/watch.js';
import { MOST_PODS, podId, type PodSource } from './pod-sources.js';

/** A Service of Kubernetes, as one names it: `models/ocr-sponge-pods:http`. */
export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
  /** Of the Service's ports; null: the only one, or the first. */
  readonly portName: string | null;
}

/** @throws Error of one line */
export function parseService(text: string): ServiceName {
  const match =
    /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)\/([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(?::([a-z0-9-]{1,63}))?$/.exec(text);
  if (match !== null) return { namespace: match[1]!, service: match[3]!, portName: match[5] ?? null };
  throw new Error(
    `${text}: expected namespace/service or namespace/service:port-name, such as models/ocr-sponge-pods:http`,
  );
}

export interface ServicePodsOptions extends ServiceName {
  readonly client: ApiClient;
  readonly onTrouble: (line: string) => void;
  /** Shorter only in tests. */
  readonly times?: WatchTimes;
}

/**
 * The pods behind a Service, from its EndpointSlices: known within milliseconds, where a name is looked up every two seconds, and without
 * those that are about to end. While the API server is away, those it told of last are believed to be there.
 */
export function servicePods({ client, namespace, service, portName, onTrouble, times }: ServicePodsOptions): PodSource {
  return {
    follow: (onPods) => {
      const watch = watchEndpoints(client, {
        namespace,
        service,
        portName,
        maxObjects: MOST_PODS,
        ...(times === undefined ? {} : { times }),
        onAddresses: (addresses) => {
          if (addresses.length > MOST_PODS) onTrouble(`${addresses.length} pods: only ${MOST_PODS} of them are used`);
          onPods(addresses.slice(0, MOST_PODS).map(({ host, port }) => podId(host, port)));
        },
        onTrouble: (line) => onTrouble(`${namespace}/${service}: ${line}`),
      });
      return () => watch.stop();
    },
  };
}
