import { isIP } from 'node:net';
import { hostname } from 'node:os';

/*
 * By which names a listener is called by pages of its own. DNS rebinding, where a stranger's page calls us by the stranger's
 * name after that has come to lead here, arrives with a name that is none of these. An address cannot be rebound.
 */

export class OwnHosts {
  /** Whether only this machine reaches it. */
  readonly isPrivate: boolean;
  readonly #names: ReadonlySet<string>;

  /** @param more names of proxies and load balancers in front, without port */
  constructor(listenHost: string, more: readonly string[] = []) {
    this.isPrivate = isLoopback(listenHost);
    const names = more.map((name) => hostnameOf(name));
    if (!this.isPrivate) names.push(listenHost.toLowerCase(), ...machineNames());
    this.#names = new Set(names);
  }

  /** @param host as the header has it: a name or an address, and perhaps a port */
  has(host: string): boolean {
    const name = hostnameOf(host);
    if (isLoopback(name) || this.#names.has(name)) return true;
    return !this.isPrivate && isIP(name) !== 0;
  }
}

/** Lower case, without port, brackets and the dot that ends a full name. */
export function hostnameOf(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host.trim());
  const name = match?.[1] ?? match?.[2] ?? host;
  return name.toLowerCase().replace(/\.$/, '');
}

/** Of a name or address without brackets. */
function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(host);
}

/** Its full name, the first part of it, and what multicast DNS makes of that. */
function machineNames(): readonly string[] {
  const full = hostname().toLowerCase();
  const short = full.split('.', 1)[0]!;
  return [full, short, `${short}.local`];
}
