import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

/*
 * Where pods are: addresses, and names, each of which stands for all addresses that it has, as a headless Service's does. Names are looked
 * up again and again; a lookup that fails changes nothing: who was there is still believed to be, and their reports say better.
 *
 * Another kind is a Service of Kubernetes (`service-pods.ts`).
 */

export interface PodSource {
  /**
   * Tells of all pods that there are, as `address:port`, at first and whenever that changes.
   * @returns ends it
   */
  follow(onPods: (pods: readonly string[]) => void): () => void;
}

/** More are not looked at: each has a connection, and its place in every pick. */
export const MOST_PODS = 4096;
const LOOKUP_EVERY_MS = 2000;

export interface NamedPodsOptions {
  /** `host:port`; a host that is no address is a name. */
  readonly endpoints: readonly string[];
  readonly onTrouble: (line: string) => void;
  /** Absent: the system's. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  readonly everyMs?: number;
}

export function namedPods({
  endpoints,
  onTrouble,
  resolve = addressesOf,
  everyMs = LOOKUP_EVERY_MS,
}: NamedPodsOptions): PodSource {
  const parsed = endpoints.map(parseEndpoint);
  return {
    follow: (onPods) => {
      const known = new Map<string, readonly string[]>();
      let told = '';
      let timer: NodeJS.Timeout | undefined;
      let isOver = false;
      const tell = (): void => {
        const pods = parsed.flatMap(({ host, port }) =>
          (isIP(host) === 0 ? (known.get(host) ?? []) : [host]).map((address) => podId(address, port)),
        );
        const distinct = [...new Set(pods)].sort();
        if (distinct.join() === told) return;
        told = distinct.join();
        if (distinct.length > MOST_PODS) onTrouble(`${distinct.length} pods: only ${MOST_PODS} of them are used`);
        onPods(distinct.slice(0, MOST_PODS));
      };
      const names = [...new Set(parsed.map(({ host }) => host).filter((host) => isIP(host) === 0))];
      const look = async (): Promise<void> => {
        await Promise.all(
          names.map(async (name) => {
            try {
              known.set(name, await resolve(name));
            } catch (error) {
              if (!known.has(name)) onTrouble(`${name} cannot be looked up: ${(error as Error).message}`);
            }
          }),
        );
        if (isOver) return;
        tell();
        timer = setTimeout(() => void look(), everyMs);
      };
      tell();
      if (names.length > 0) void look();
      return () => {
        isOver = true;
        clearTimeout(timer);
      };
    },
  };
}

/** All pods of several sources, each once; told when each of them has told. */
export function joinedPods(sources: readonly PodSource[]): PodSource {
  return {
    follow: (onPods) => {
      const told = new Map<PodSource, readonly string[]>();
      const ends = sources.map((source) =>
        source.follow((pods) => {
          told.set(source, pods);
          if (told.size === sources.length) onPods([...new Set([...told.values()].flat())].slice(0, MOST_PODS));
        }),
      );
      return () => ends.forEach((end) => end());
    },
  };
}

/** @throws Error of one line */
export function parseEndpoint(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s/:[\]]+)):(\d{1,5})$/.exec(text);
  const port = match === null ? 0 : Number(match[3]);
  if (match !== null && port >= 1 && port <= 65_535) return { host: (match[1] ?? match[2])!, port };
  throw new Error(`${text}: expected host:port, such as 10.0.0.7:8000, [fd00::7]:8000 or sponge-pods:8000`);
}

export function podId(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

async function addressesOf(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}
