import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { BandwidthTrace } from '../../simulator/workloads/bandwidth-trace.js';
import type { ClientNetwork } from './client-network.js';
import { burstBytes, linkBitsPerSec, PACKET_BYTES, RATE_STEP_MS } from './link-rate.js';
import { runTool, toolFailure } from './network-tools.js';

/*
 * Keeps the kernel's links at the bandwidth of their traces. Each end of the cable shapes what it sends: the inner one
 * uploads, the outer one replies, both by HTB with a class for every client. One `tc` for each end stays for the whole load
 * and is written to; it ends when its input does, so also when this process is killed.
 */

export class LinkShaper {
  readonly #ends: readonly CableEnd[];
  #timer: NodeJS.Timeout | null = null;

  /** By client. Uploads and replies have links of their own, which do not share. @throws Error, one line with a remedy */
  constructor(
    network: ClientNetwork,
    traces: { readonly uploads: readonly BandwidthTrace[]; readonly replies: readonly BandwidthTrace[] },
  ) {
    const { namespace, innerDevice, outerDevice, clientAddresses: addresses } = network;
    this.#ends = [
      new CableEnd({ netns: ['-n', namespace], device: innerDevice, match: 'src', addresses, traces: traces.uploads }),
      new CableEnd({ netns: [], device: outerDevice, match: 'dst', addresses, traces: traces.replies }),
    ];
  }

  /** Follows the traces, of which 0 is at that instant; until then links are as they are at 0. */
  begin(startUnixMs: number, onFailure: (error: Error) => void): void {
    const startAtMs = startUnixMs - performance.timeOrigin;
    for (const end of this.#ends) end.open(onFailure);
    const follow = (): void => {
      const step = Math.max(0, Math.floor((performance.now() - startAtMs) / RATE_STEP_MS));
      for (const end of this.#ends) end.follow(step * RATE_STEP_MS);
      const nextAtMs = startAtMs + (step + 1) * RATE_STEP_MS;
      this.#timer = setTimeout(follow, Math.max(1, nextAtMs - performance.now()));
    };
    follow();
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const end of this.#ends) end.close();
  }
}

interface CableEndOptions {
  /** Flags of `tc` for where the device is. */
  readonly netns: readonly string[];
  readonly device: string;
  /** Which address of a packet is its client's. */
  readonly match: 'src' | 'dst';
  readonly addresses: readonly string[];
  readonly traces: readonly BandwidthTrace[];
}

class CableEnd {
  readonly #options: CableEndOptions;
  /** In force, by client. */
  readonly #bitsPerSec: number[];
  #tc: ChildProcessByStdio<Writable, null, Readable> | null = null;

  constructor(options: CableEndOptions) {
    const { netns, device, match, addresses, traces } = options;
    this.#options = options;
    this.#bitsPerSec = traces.map((trace) => linkBitsPerSec(trace, 0));
    const filter = `filter add dev ${device} parent 1: protocol ip prio 1`;
    runTool(
      'tc',
      [...netns, '-batch', '-'],
      [
        // What belongs to no client, such as ARP, is not shaped.
        `qdisc add dev ${device} root handle 1: htb default 0`,
        // A table by the last byte of the address, so that a packet is compared with one client and not with all.
        `${filter} handle ${TABLE}: u32 divisor 256`,
        `${filter} u32 ht 800:: match u32 0 0 hashkey mask 0x000000ff at ${ADDRESS_OFFSET[match]} link ${TABLE}:`,
        ...addresses.flatMap((address, client) => [
          this.#classCommand('add', client),
          `${filter} u32 ht ${TABLE}:${lastByteOf(address)}: match ip ${match} ${address}/32 flowid ${classOf(client)}`,
        ]),
      ],
    );
  }

  open(onFailure: (error: Error) => void): void {
    const args = [...this.#options.netns, '-batch', '-'];
    const tc = spawn('tc', args, { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#tc = tc;
    let errors = '';
    tc.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(0, 1000)));
    tc.stdin.on('error', () => undefined); // Its end says more.
    const fail = (text: string): void => {
      if (this.#tc === tc) onFailure(new Error(`links cannot be kept at their bandwidth: ${text}`));
    };
    tc.on('error', (error) => fail(error.message));
    tc.on('close', () => fail(toolFailure(['tc', ...args].join(' '), errors)));
  }

  follow(atMs: number): void {
    const changes: string[] = [];
    this.#options.traces.forEach((trace, client) => {
      const bitsPerSec = linkBitsPerSec(trace, atMs);
      if (bitsPerSec === this.#bitsPerSec[client]) return;
      this.#bitsPerSec[client] = bitsPerSec;
      changes.push(`${this.#classCommand('change', client)}\n`);
    });
    if (changes.length > 0) this.#tc?.stdin.write(changes.join(''));
  }

  close(): void {
    const tc = this.#tc;
    this.#tc = null;
    tc?.stdin.end();
  }

  #classCommand(verb: 'add' | 'change', client: number): string {
    const bitsPerSec = this.#bitsPerSec[client]!;
    const burst = burstBytes(bitsPerSec);
    const rate = `rate ${bitsPerSec}bit burst ${burst} cburst ${burst} quantum ${PACKET_BYTES}`;
    return `class ${verb} dev ${this.#options.device} parent 1: classid ${classOf(client)} htb ${rate}`;
  }
}

/** Minor numbers are hexadecimal; 0 is none. */
function classOf(client: number): string {
  return `1:${(client + 1).toString(16)}`;
}

/** Numbers of `tc` are hexadecimal. */
function lastByteOf(address: string): string {
  return Number(address.split('.').at(-1)).toString(16);
}

const TABLE = 2;
/** In the header of IPv4. */
const ADDRESS_OFFSET = { src: 12, dst: 16 } as const;
