import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../src/server/system-clock.js';
import { LiveFeed } from '../../src/server/telemetry/live-feed.js';
import { startMetricsServer, type MetricsServer } from '../../src/server/telemetry/metrics-server.js';
import { ServerTls } from '../../src/server/tls/server-tls.js';
import { inferCommand } from '../../src/cli/infer.js';
import { readFeed } from '../../src/cli/watch-feed.js';
import { startRest, type RestUnderTest } from './rest-harness.js';

/* The commands that are clients, against ports that speak TLS and ask for a certificate. */

const fixture = (name: string): string => join(import.meta.dirname, '../fixtures/tls', `${name}.pem`);
const CA = ['--ca', fixture('ca.cert')];
const CLIENT = ['--cert', fixture('client.cert'), '--key', fixture('client.key')];

let tls: ServerTls;
let rest: RestUnderTest;
let feed: LiveFeed;
let metrics: MetricsServer;

beforeAll(async () => {
  tls = await ServerTls.open({
    files: {
      certPath: fixture('server.cert'),
      keyPath: fixture('server.key'),
      clientCaPath: fixture('ca.cert'),
    },
    logger: { info: () => undefined, warn: () => undefined },
  });
  rest = await startRest({ tls });
  feed = new LiveFeed({ clock: new SystemClock(), title: 'secured', startedAt: '', budgetMillicores: () => null });
  metrics = await startMetricsServer({
    host: '127.0.0.1',
    port: 0,
    render: () => Promise.resolve(''),
    contentType: 'text/plain',
    page: null,
    feed,
    tls,
  });
});
afterAll(async () => {
  await feed.close();
  await metrics.close();
  await rest.server.close();
  tls.close();
});

/** What it prints, or the one line that it ends with. */
async function infer(...flags: string[]): Promise<string> {
  const print = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    await inferCommand().parseAsync(['raw', '--url', rest.server.url, '--shape', 'x=1,4', ...flags], { from: 'user' });
    return print.mock.calls.join('\n');
  } catch (error) {
    return (error as Error).message;
  } finally {
    print.mockRestore();
  }
}

describe('sponge infer', () => {
  it('is answered over https with a CA and a certificate of its own', async () => {
    expect(await infer(...CA, ...CLIENT)).toMatch(/^answered in /m);
  });

  it('says what it lacks', async () => {
    expect(await infer(...CLIENT)).toBe(
      `${rest.server.url} has a certificate that is not trusted here: give its CA with --ca <file>`,
    );
    expect(await infer(...CA)).toBe(
      `${rest.server.url} asks for a client certificate: give one with --cert <file> --key <file>`,
    );
    expect(await infer(...CA, '--cert', fixture('client.cert'))).toBe('--cert and --key belong together; give both');
    expect(await infer('--ca', '/nowhere.pem')).toMatch(/^--ca \/nowhere\.pem: ENOENT/);
  });
});

describe('the feed that sponge watch reads', () => {
  it('comes over https', async () => {
    const interruption = new AbortController();
    const pair = {
      cert: readFileSync(fixture('client.cert'), 'utf8'),
      key: readFileSync(fixture('client.key'), 'utf8'),
    };
    const url = new URL(`https://127.0.0.1:${metrics.port}/events`);
    const ca = readFileSync(fixture('ca.cert'), 'utf8');
    for await (const item of readFeed(url, { tls: { ca, ...pair } }, interruption.signal)) {
      expect(item).toMatchObject({ kind: 'run', header: { title: 'secured' } });
      break;
    }
    await expect(readFeed(url, { tls: { ca } }, interruption.signal).next()).rejects.toThrow(
      'asks for a client certificate',
    );
  });
});
