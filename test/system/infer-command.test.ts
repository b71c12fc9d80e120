import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inferCommand } from '../../src/cli/infer.js';

const COMPUTE_MS = 60;

/** Answers after `COMPUTE_MS`, and always claims to be on time. */
const encodings: (string | string[] | undefined)[] = [];
const clientPorts: (number | undefined)[] = [];
const authorizations: (string | undefined)[] = [];
const server = createServer((request, response) => {
  authorizations.push(request.headers.authorization);
  clientPorts.push(request.socket.remotePort);
  encodings.push(request.headers['accept-encoding']);
  request.resume().on('end', () => {
    if (request.method === 'GET') {
      response.end(JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }] }));
      return;
    }
    const outputs = [{ name: 'y', shape: [1], datatype: 'FP32', parameters: { binary_data_size: 4 } }];
    const head = JSON.stringify({ model_name: 'm', parameters: { sponge_late: false }, outputs });
    response.setHeader('inference-header-content-length', Buffer.byteLength(head));
    void delay(COMPUTE_MS).then(() => response.end(Buffer.concat([Buffer.from(head), Buffer.alloc(4)])));
  });
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** What it prints about the time. */
async function infer(...flags: string[]): Promise<string> {
  const print = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await inferCommand().parseAsync(['m', '--url', url, ...flags], { from: 'user' });
    return String(print.mock.calls.at(-1)?.[0]);
  } finally {
    print.mockRestore();
  }
}

describe('sponge infer', () => {
  it('times the request on a connection that is open already', async () => {
    // First of this file: no earlier connection is left to be used again.
    await infer();
    expect(clientPorts).toEqual([expect.any(Number), clientPorts[0]]);
    // Compressing outputs would count as the server's time.
    expect(encodings[1]).toBe('identity');
  });

  it('calls an answer late that took longer than the SLO as seen from here, whatever the server says', async () => {
    expect(await infer('--slo', String(COMPUTE_MS))).toMatch(/^answered in [\d.]+ ms, LATE · /);
    expect(await infer('--slo', '30000')).toMatch(/^answered in [\d.]+ ms · /);
    expect(await infer()).toMatch(/^answered in [\d.]+ ms · /);
  });

  it('shows its token with both of its calls, and none where it was given none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sponge-infer-'));
    try {
      const path = join(folder, 'token');
      writeFileSync(path, 'ocr-app-0123456789abcdef\n', { mode: 0o600 });
      authorizations.length = 0;
      await infer();
      await infer('--token-file', path);
      const shown = 'Bearer ocr-app-0123456789abcdef';
      expect(authorizations).toEqual([undefined, undefined, shown, shown]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
