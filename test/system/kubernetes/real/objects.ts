import { setTimeout as delay } from 'node:timers/promises';
import type { ApiAnswer, ApiClient } from '../../../../src/kubernetes/api-client.js';

/* Calls of the API as a person would make them by kubectl. */

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface Amounts {
  readonly cpu: string;
  readonly memory: string;
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly containers: readonly { readonly resources: { readonly limits: Amounts } }[] };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
      readonly resources?: { readonly limits?: { readonly cpu?: string } };
    }[];
  };
}

export const PODS = '/api/v1/namespaces/default/pods';

/** @throws Error with the API server's words */
export async function must(answer: Promise<ApiAnswer>): Promise<unknown> {
  const said = await answer;
  if (said.kind === 'ok') return said.body;
  throw new Error(said.kind === 'refused' ? `${said.status} ${said.message}` : said.message);
}

export async function podOf(api: ApiClient, name: string): Promise<Pod> {
  return (await must(api.call({ method: 'GET', path: `${PODS}/${name}` }))) as Pod;
}

export async function podsOf(api: ApiClient, labelSelector: string): Promise<readonly Pod[]> {
  const list = await must(api.call({ method: 'GET', path: `${PODS}?labelSelector=${labelSelector}` }));
  return (list as { items: readonly Pod[] }).items;
}

export function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}

/** @returns the answer, which the API server may have refused */
export function resize(api: ApiClient, name: string, container: string, resources: object): Promise<ApiAnswer> {
  const body = { spec: { containers: [{ name: container, resources }] } };
  return api.call({ method: 'PATCH', path: `${PODS}/${name}/resize`, body, tries: 1 });
}

/** @param isSo @returns null while it is not so   @throws Error when it is not in time */
export async function eventually<Found>(
  what: string,
  isSo: () => Promise<Found | null>,
  timeoutMs = 300_000,
): Promise<Found> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await isSo();
    if (found !== null) return found;
    if (performance.now() > untilMs) throw new Error(`not after ${timeoutMs / 1000} s: ${what}`);
    await delay(250);
  }
}
