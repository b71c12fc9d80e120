import type { Socket } from 'node:net';
import koffi from 'koffi';

/*
 * When calls reached this machine, as near as can be told. A call is seen when its head is read; where the event loop stood still
 * before that, it may have lain in the kernel for as long, and an answer that is "in time" from then on would be late for its client.
 * Linux knows when it received the last data of a connection; elsewhere all that was read late is taken to have come when the
 * standstill began, so that no deadline is believed to be later than it is.
 */

/** What is known of the router's own standstills; `EventLoopWatch` is the live one. */
export interface Standstills {
  /** The instant since when what is read just now may have been lying unread; now itself where the loop has been running. */
  unreadSinceMs(): number;
  /** How much of the time since then the loop stood still, ms. */
  standstillMs(sinceMs: number): number;
}

export class Arrivals {
  readonly nowMs: () => number;
  readonly #standstills: Standstills | null;
  readonly #lastReceivedMs: LastReceived;

  /**
   * @param standstills null where they are nobody's business: then what is read has just come
   * @param lastReceivedMs how long ago a connection's last data came, ms; null where that cannot be told
   */
  constructor(
    nowMs: () => number,
    standstills: Standstills | null = null,
    lastReceivedMs: LastReceived = kernelsLastReceived(),
  ) {
    this.nowMs = nowMs;
    this.#standstills = standstills;
    this.#lastReceivedMs = lastReceivedMs;
  }

  /** Of what has just been read of this connection; at most now. */
  arrivedAtMs(socket: Socket | undefined): number {
    const nowMs = this.nowMs();
    const unreadSinceMs = this.#standstills?.unreadSinceMs() ?? nowMs;
    if (unreadSinceMs >= nowMs) return nowMs;
    const agoMs = socket === undefined ? null : this.#lastReceivedMs(socket);
    return agoMs === null ? unreadSinceMs : Math.min(nowMs, Math.max(unreadSinceMs, nowMs - agoMs));
  }

  /** Of the time since then, what the router itself stood still for. */
  routerDelayMs(sinceMs: number): number {
    return this.#standstills?.standstillMs(sinceMs) ?? 0;
  }
}

type LastReceived = (socket: Socket) => number | null;

/** getsockopt(2), tcp(7); the same on all architectures that Linux runs on but for MIPS and SPARC, which Node does not support. */
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
/** In `struct tcp_info` (linux/tcp.h): eight bytes, and eleven counters before `tcpi_last_data_recv`, ms. */
const LAST_DATA_RECV_OFFSET = 52;
const INFO_BYTES = 104;

let shared: LastReceived | null = null;

/** One call of the kernel, about 1 µs. */
function kernelsLastReceived(): LastReceived {
  shared ??= process.platform === 'linux' ? fromTcpInfo() : () => null;
  return shared;
}

function fromTcpInfo(): LastReceived {
  const getsockopt = koffi.load(null).func('int getsockopt(int, int, int, void *, _Inout_ uint32_t *)') as (
    ...call: [number, number, number, Buffer, Uint32Array]
  ) => number;
  const info = Buffer.alloc(INFO_BYTES);
  const length = new Uint32Array(1);
  return (socket) => {
    const descriptor = descriptorOf(socket);
    if (descriptor === null) return null;
    length[0] = INFO_BYTES;
    const status = getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, length);
    if (status !== 0 || length[0] < LAST_DATA_RECV_OFFSET + 4) return null;
    return info.readUInt32LE(LAST_DATA_RECV_OFFSET);
  };
}

/** Node has no other name for it. Null for a connection that is gone. */
function descriptorOf(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, '_handle');
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof descriptor === 'number' && descriptor >= 0 ? descriptor : null;
}
