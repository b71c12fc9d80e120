/*
 * Which proxy a URL is asked through, as the environment says in the way that curl and others have it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY,
 * NO_PROXY, in capitals or not.
 */

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns null for none. @throws Error, in one line, for one that is no URL */
export function proxyFor(url: URL, env: Environment): URL | null {
  if (isExempt(url, said(env, 'no_proxy') ?? '')) return null;
  const text = said(env, url.protocol === 'https:' ? 'https_proxy' : 'http_proxy') ?? said(env, 'all_proxy');
  if (text === undefined) return null;
  const address = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(address) || new URL(address).protocol !== 'http:') {
    throw new Error(`the proxy for ${url.host} in the environment is not http://host:port: set HTTPS_PROXY to that`);
  }
  return new URL(address);
}

function said(env: Environment, name: string): string | undefined {
  const value = env[name] ?? env[name.toUpperCase()];
  return value === '' ? undefined : value;
}

function isExempt({ hostname, port }: URL, list: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const stated = entry.toLowerCase();
      if (stated === '*' || stated === host) return true;
      const [, name = '', ofPort] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(stated) ?? [];
      if (name === '' || (ofPort !== undefined && ofPort !== port)) return false;
      const suffix = name.replace(/^\*?\./, '');
      return host === suffix || host.endsWith(`.${suffix}`);
    });
}
