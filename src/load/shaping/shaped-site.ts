import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import type { ScenarioSetup } from '../../simulator/scenarios/setup.js';
import type { LoadShare } from '../load-share.js';
import type { LoadSite, ThreadLink } from '../load-site.js';
import { bodyBytes } from '../open-transport.js';
import type { LoadTarget } from '../target.js';
import { openClientNetwork, type ClientNetwork } from './client-network.js';
import { LinkShaper } from './link-shaper.js';
import { startInNamespace } from './namespace-thread.js';

/*
 * A load whose clients send over links that the kernel shapes, instead of being paced by the generator. What is shaped is
 * what is really sent: handshakes, headers and acknowledgements with it, and the requests of a client share its link, where
 * the simulator and paced uploads give each all of it.
 */

export interface ShapedSite extends LoadSite {
  /** The same server, where clients reach it. */
  readonly target: LoadTarget;
  close(): void;
}

/**
 * @param target on this machine
 * @throws Error, one line with a remedy; nothing is left then
 */
export async function openShapedSite(setup: ScenarioSetup, seed: number, target: LoadTarget): Promise<ShapedSite> {
  const spec = setup.network(seed);
  if (spec.mode !== 'applied') {
    throw new Error(
      '--shaping tc shapes a network that is applied; this scenario has another (--set network.mode=applied)',
    );
  }
  await assertLocal(target.host);
  const scale = linkScale(bodyBytes(target), onlySizeOf(setup));
  const traces = { uploads: spec.traces.map((trace) => trace.scaled(scale)), replies: spec.traces };
  const network = openClientNetwork(spec.traces.length);
  try {
    const { outerAddress } = network;
    await assertListening(outerAddress, target.port);
    return new ShapedLinks(network, new LinkShaper(network, traces), { ...target, host: outerAddress });
  } catch (error) {
    network.close();
    throw error;
  }
}

class ShapedLinks implements ShapedSite {
  readonly target: LoadTarget;
  readonly #network: ClientNetwork;
  readonly #shaper: LinkShaper;

  constructor(network: ClientNetwork, shaper: LinkShaper, target: LoadTarget) {
    this.#network = network;
    this.#shaper = shaper;
    this.target = target;
  }

  get clientAddresses(): readonly string[] {
    return this.#network.clientAddresses;
  }

  startThread(share: LoadShare): ThreadLink {
    return startInNamespace(this.#network.namespace, share);
  }

  begin(startUnixMs: number, onFailure: (error: Error) => void): void {
    this.#shaper.begin(startUnixMs, onFailure);
  }

  end(): void {
    this.#shaper.end();
  }

  close(): void {
    this.#network.close();
  }
}

/** Below this, what a link sends at once and the heads of requests are more than a few percent of a body. */
const LEAST_SCALED_BYTES = 40_000;
/** So near to one, a body is what the scenario has. */
const NO_SCALE_FRACTION = 0.05;

/**
 * The network sees the scenario's size, whatever the body has: it has to take the same time, so a larger body has a faster
 * link. A small body cannot stand for a large one, as handshakes and headers do not shrink with it.
 */
function linkScale(actualBytes: number, scenarioBytes: number): number {
  const scale = actualBytes / scenarioBytes;
  if (actualBytes >= LEAST_SCALED_BYTES || Math.abs(scale - 1) <= NO_SCALE_FRACTION) return scale;
  throw new Error(
    `--shaping tc sends the model’s own body, and ${actualBytes} bytes are too few to stand for the scenario’s ` +
      `${scenarioBytes}; give --shape a larger input, --set payloads.0.bytes=${actualBytes}, or use --shaping paced`,
  );
}

/** A link has one bandwidth for all that a client sends: it can stand for another size, not for several. */
function onlySizeOf({ scenario, name }: ScenarioSetup): number {
  const sizes = [...new Set(scenario.payloads.flatMap(({ bytes }) => bytes))];
  if (sizes.length === 1 && sizes[0]! > 0) return sizes[0]!;
  throw new Error(
    `--shaping tc sends every request with the model’s own body; ${name} has sizes of ${sizes.join(', ')} bytes. ` +
      'Give all payloads one size, or use --shaping paced',
  );
}

async function assertLocal(host: string): Promise<void> {
  const { address } = await lookup(host);
  const isLoopback = address.startsWith('127.') || address === '::1';
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  if (isLoopback || own.some((each) => each.address === address)) return;
  throw new Error(
    `--shaping tc shapes the way to a server on this machine, and ${host} is elsewhere; use --shaping paced`,
  );
}

const CONNECT_TIMEOUT_MS = 3000;

async function assertListening(host: string, port: number): Promise<void> {
  const socket = net.connect({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
  } catch (error) {
    throw new Error(
      `clients of --shaping tc reach this machine at ${host}, and nothing answers at port ${port} there; ` +
        'start the server with --host 0.0.0.0',
      { cause: error },
    );
  } finally {
    socket.destroy();
  }
}
