import { assertMayShape, runTool } from './network-tools.js';

/*
 * A network for the clients of a load: a namespace of its own that one virtual cable joins to this machine, with an address
 * for every client. The server is reached at the cable's outer end.
 *
 * It is removed when the load ends, however it does; only a process that is killed outright cannot, and then the next
 * load does: namespaces carry the process id of their owner.
 */

export interface ClientNetwork {
  readonly namespace: string;
  /** The cable's two ends: in this machine's network, and in the namespace. */
  readonly outerDevice: string;
  readonly innerDevice: string;
  /** Of the outer end: where clients reach this machine. */
  readonly outerAddress: string;
  readonly clientAddresses: readonly string[];
  close(): void;
}

/** One address each in a /24, and few enough that a filter for each costs a packet nothing to speak of. */
const MOST_CLIENTS = 200;
/** Private (RFC 1918); each load takes a /24 of it in which this machine has no route. */
const ADDRESS_PREFIX = '10.231';
const INNER_DEVICE = 'clients';
/**
 * A packet at a time: the kernel would otherwise hand over up to 64 KB as one, and a slow link would carry nothing for a
 * second and then all of it.
 */
const CABLE_OPTIONS = ['gso_max_segs', '1', 'mtu', '1500'];

/** @throws Error, one line with a remedy */
export function openClientNetwork(clientCount: number): ClientNetwork {
  assertMayShape();
  if (clientCount > MOST_CLIENTS) {
    throw new Error(
      `--shaping tc has links for ${MOST_CLIENTS} clients, the scenario has ${clientCount}; ` +
        `give --set network.clients=${MOST_CLIENTS}, or use --shaping paced`,
    );
  }
  removeLeftovers();
  const { namespace, outerDevice } = namesOf(process.pid);
  const subnet = freeSubnet();
  const outerAddress = `${subnet}.1`;
  const clientAddresses = Array.from({ length: clientCount }, (_, client) => `${subnet}.${client + 2}`);
  const close = (): void => {
    process.off('exit', close);
    remove(process.pid);
  };
  process.on('exit', close);
  try {
    runTool('ip', ['netns', 'add', namespace]);
    runTool(
      'ip',
      ['-batch', '-'],
      [
        `link add name ${outerDevice} ${CABLE_OPTIONS.join(' ')} type veth peer name ${INNER_DEVICE} ${CABLE_OPTIONS.join(' ')} netns ${namespace}`,
        `addr add ${outerAddress}/24 dev ${outerDevice}`,
        `link set ${outerDevice} up`,
      ],
    );
    runTool(
      'ip',
      ['-n', namespace, '-batch', '-'],
      [
        ...clientAddresses.map((address) => `addr add ${address}/24 dev ${INNER_DEVICE}`),
        `link set ${INNER_DEVICE} up`,
      ],
    );
  } catch (error) {
    close();
    throw error;
  }
  return { namespace, outerDevice, innerDevice: INNER_DEVICE, outerAddress, clientAddresses, close };
}

/** Names of devices have at most 15 characters. */
function namesOf(pid: number): { readonly namespace: string; readonly outerDevice: string } {
  return { namespace: `sponge-load-${pid}`, outerDevice: `sponge-l${pid}` };
}

function freeSubnet(): string {
  const routes = runTool('ip', ['-o', 'route', 'show', 'table', 'all', 'root', `${ADDRESS_PREFIX}.0.0/16`]);
  const addresses = routes.split(/\s+/).filter((word) => word.startsWith(`${ADDRESS_PREFIX}.`));
  const taken = new Set(addresses.map((address) => Number(address.split('.')[2])));
  // By process id, so that two loads that begin at once look at different ones first.
  const candidates = Array.from({ length: 256 }, (_, count) => (process.pid + count) % 256);
  const free = candidates.find((number) => !taken.has(number));
  if (free === undefined) {
    throw new Error(`--shaping tc: this machine has routes in all of ${ADDRESS_PREFIX}.0.0/16; use --shaping paced`);
  }
  return `${ADDRESS_PREFIX}.${free}`;
}

/** Of loads that were killed, and of whoever had this process id before. */
function removeLeftovers(): void {
  for (const match of runTool('ip', ['netns', 'list']).matchAll(/^sponge-load-(\d+)\b/gm)) {
    const pid = Number(match[1]);
    if (pid === process.pid || !isAlive(pid)) remove(pid);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * The cable first, and with it its queues: connections that still have something to send can keep a namespace alive for
 * minutes after its name is gone. What is not there is not missed.
 */
function remove(pid: number): void {
  const { namespace, outerDevice } = namesOf(pid);
  for (const args of [
    ['link', 'del', outerDevice],
    ['netns', 'del', namespace],
  ]) {
    try {
      runTool('ip', args);
    } catch {
      // Gone already, or never made.
    }
  }
}
