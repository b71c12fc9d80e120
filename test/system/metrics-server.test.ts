import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startMetricsServer, type MetricsServer } from '../../src/adapters/telemetry/metrics-server.js';

let server: MetricsServer;
let renderMetrics: () => Promise<string>;

beforeEach(async () => {
  renderMetrics = () => Promise.resolve('sponge_queue_depth 3\n');
  server = await startMetricsServer({
    host: '127.0.0.1',
    port: 0,
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    render: () => renderMetrics(),
  });
});

afterEach(async () => {
  await server.close();
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

function ask(path: string, options: http.RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port: server.port, path, agent: false, ...options },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('the metrics port', () => {
  it('gives the exposition with its content type, queries ignored', async () => {
    for (const path of ['/metrics', '/metrics?name=x']) {
      const answer = await ask(path);
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(answer.body).toBe('sponge_queue_depth 3\n');
    }
  });

  it('has a page that links to it', async () => {
    const answer = await ask('/');
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('href="/metrics"');
  });

  it('answers HEAD without a body, 404 elsewhere, 405 to other methods', async () => {
    expect(await ask('/metrics', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect(await ask('/v2/models')).toMatchObject({ status: 404 });
    expect(await ask('/metrics', { method: 'POST' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  });

  it('tells nothing of an error inside', async () => {
    renderMetrics = () => Promise.reject(new Error('secret'));
    const answer = await ask('/metrics');
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain('secret');
  });

  it('refuses headers above 8 KiB', async () => {
    const answer = await ask('/metrics', { headers: { 'X-Padding': 'a'.repeat(9 * 1024) } });
    expect(answer.status).toBe(431);
  });

  it('closes although clients keep their connections open', async () => {
    const socket = net.connect(server.port, '127.0.0.1');
    const hasEnded = new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    await server.close();
    socket.resume();
    await hasEnded;
  });

  it('names a busy port, and a host that is not here, in one line with the remedy', async () => {
    const options = { contentType: 'text/plain', render: () => renderMetrics() };
    await expect(startMetricsServer({ ...options, host: '127.0.0.1', port: server.port })).rejects.toThrow(
      `metrics port ${server.port} on 127.0.0.1 is in use; stop what uses it or choose another with --metrics-port`,
    );
    // 192.0.2.0/24 is reserved for documentation (RFC 5737).
    await expect(startMetricsServer({ ...options, host: '192.0.2.1', port: 0 })).rejects.toThrow(
      '192.0.2.1 is no address of this machine; choose another with --host',
    );
  });
});
