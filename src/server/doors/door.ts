import type { IncomingHttpHeaders } from 'node:http';
import { OwnHosts, hostnameOf } from './own-hosts.js';
import type { Identity, TokenFile } from './tokens.js';

/*
 * Who is let in, decided by the head of a request alone; one for all listeners.
 *
 * Two questions. Whose page is it? A browser sends requests for any page that asks it to, from inside the network that we are in,
 * so a page of another site may neither send nor read here. Who is it? Where there are tokens, whoever shows one.
 *
 * What is no browser (no `Origin`, no `Sec-Fetch-Site`) may call us by any name: load balancers and phones do. A rebound page's GET
 * over plain HTTP has neither of the two; then `User-Agent` gives it away and, where only this machine reaches us,
 * `Accept-Language`, which a page cannot leave out. Not elsewhere: the HTTP libraries of phones send that too.
 */

/** What a call needs: nothing (probes), to look (metadata, metrics, dashboard), or everything. */
export type Right = 'none' | 'read' | 'full';

export interface Head {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** `:authority` in HTTP/2. */
  readonly host: string | undefined;
  readonly hostCount: number;
}

export type RefusalCause = 'invalid' | 'unauthenticated' | 'forbidden';

export type Verdict =
  | {
      readonly kind: 'welcome';
      /** Null where no token was shown. */
      readonly identity: Identity | null;
      /** Of another site's page that may read the answer; null where none is asking. */
      readonly corsOrigin: string | null;
    }
  | {
      readonly kind: 'refused';
      readonly cause: RefusalCause;
      /** One line: cause and remedy. */
      readonly message: string;
      readonly corsOrigin: string | null;
    };

export interface DoorOptions {
  /** The address that is listened on. */
  readonly host: string;
  readonly allowedHosts?: readonly string[];
  /** As browsers send them: scheme, host, and a port that is not the scheme's own. */
  readonly corsOrigins?: readonly string[];
  /** Absent: everybody may do everything. */
  readonly tokens?: TokenFile;
}

/** For RFC 6750: what a client without a valid token is told to show. */
export const CHALLENGE = 'Bearer realm="sponge"';

export class Door {
  readonly #hosts: OwnHosts;
  readonly #corsOrigins: ReadonlySet<string>;
  readonly tokens: TokenFile | null;

  constructor({ host, allowedHosts = [], corsOrigins = [], tokens }: DoorOptions) {
    this.#hosts = new OwnHosts(host, allowedHosts);
    this.#corsOrigins = new Set(corsOrigins);
    this.tokens = tokens ?? null;
  }

  /**
   * @param session what a browser was given for its token; only where there is a page to give it to
   */
  admit(head: Head, right: Right, session: string | null = null): Verdict {
    const corsOrigin = this.#corsOriginOf(head);
    const refused = (cause: RefusalCause, message: string): Verdict => ({
      kind: 'refused',
      cause,
      message,
      corsOrigin,
    });
    if (head.hostCount > 1) return refused('invalid', 'a request has one Host header, this one has several');
    if (corsOrigin === null) {
      const intrusion = this.#intrusionOf(head);
      if (intrusion !== null) return refused('forbidden', intrusion);
    }
    if (this.tokens === null) return { kind: 'welcome', identity: null, corsOrigin };
    const identity = identify(this.tokens, head.headers.authorization, session);
    if (right === 'none') return { kind: 'welcome', identity, corsOrigin };
    if (identity === null)
      return refused('unauthenticated', 'a valid token is needed: "Authorization: Bearer <token>"');
    if (right === 'full' && identity.isReadOnly) {
      return refused('forbidden', `the token of ${identity.name} is read-only: it gives metadata and metrics`);
    }
    return { kind: 'welcome', identity, corsOrigin };
  }

  /** Whether a page that only this machine should see is called by a name of it. */
  isOwnHost(host: string | undefined): boolean {
    return this.#hosts.has(host ?? '');
  }

  /** Whether only this machine reaches the listener. */
  get isPrivate(): boolean {
    return this.#hosts.isPrivate;
  }

  /** Ends what watches the tokens. */
  close(): void {
    this.tokens?.close();
  }

  #corsOriginOf({ headers }: Head): string | null {
    return headers.origin !== undefined && this.#corsOrigins.has(headers.origin) ? headers.origin : null;
  }

  /** Why what asks is another site's page; null where it is not. */
  #intrusionOf({ method, headers, host = '' }: Head): string | null {
    const { origin } = headers;
    if (origin !== undefined && !isSameOrigin(origin, host)) {
      return 'a page of another site may not call this server: allow it with --cors-origin';
    }
    const site = headers['sec-fetch-site'];
    if (origin === undefined && (site === 'cross-site' || site === 'same-site') && !isNavigation(method, headers)) {
      return 'a page of another site may not call this server: allow it with --cors-origin';
    }
    if (this.#isBrowser(headers) && !this.#hosts.has(host)) {
      return this.isPrivate
        ? 'this server is for its own machine: call it localhost, 127.0.0.1 or [::1], or allow the name with --allow-host'
        : 'browsers may not call this server by that name: call it by its address, or allow the name with --allow-host';
    }
    return null;
  }

  #isBrowser(headers: IncomingHttpHeaders): boolean {
    if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
    if (headers['user-agent']?.startsWith('Mozilla/') === true) return true;
    return this.isPrivate && headers['accept-language'] !== undefined;
  }
}

/** Whatever the scheme: a proxy may have taken the TLS off. A Host header may say the scheme's own port, an Origin does not. */
function isSameOrigin(origin: string, host: string): boolean {
  const [, scheme, originHost] = /^(https?:\/\/)(.+)$/.exec(origin) ?? [];
  if (scheme === undefined) return false;
  return originHost === host || (URL.canParse(scheme + host) && new URL(scheme + host).host === originHost);
}

/** A link that was followed, into a window of its own: the page that has it sees nothing of what comes. */
function isNavigation(method: string, headers: IncomingHttpHeaders): boolean {
  const isSafe = method === 'GET' || method === 'HEAD';
  return isSafe && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
}

function identify(tokens: TokenFile, authorization: string | undefined, session: string | null): Identity | null {
  const token = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (token !== undefined) return tokens.identify(token);
  const identity = session === null ? null : tokens.identifySession(session);
  // A page's session is for looking, whatever its token may do elsewhere.
  return identity === null ? null : { ...identity, isReadOnly: true };
}

/** @returns as browsers send it. @throws Error of one line for what is no origin */
export function originOf(text: string): string {
  if (!URL.canParse(text)) throw new Error('expected an origin such as https://app.example.com');
  const { protocol, origin, href } = new URL(text);
  const isBare = href === `${origin}/`;
  if (!/^https?:$/.test(protocol) || !isBare) throw new Error('expected an origin such as https://app.example.com');
  return origin;
}

/** @throws Error of one line for what is no host name */
export function allowedHostOf(text: string): string {
  const name = hostnameOf(text);
  if (!/^[\w.:-]{1,253}$/.test(name)) throw new Error('expected a host name such as models.example.com');
  return name;
}
