import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readPageFiles } from './page-files.js';

const root = mkdtempSync(join(tmpdir(), 'sponge-page-files-test-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('the files of the page', () => {
  it('are none where the page was not built', async () => {
    expect(await readPageFiles(root)).toBeNull();
  });

  it('are those that a browser is given, with their types, and no others', async () => {
    for (const folder of ['dashboard', 'scheduler/domain', 'server']) {
      mkdirSync(join(root, folder), { recursive: true });
    }
    const files = ['index.html', 'page.js', 'style.css', '.tsbuildinfo', 'page.d.ts', 'notes.md'];
    for (const name of files) writeFileSync(join(root, 'dashboard', name), name);
    writeFileSync(join(root, 'scheduler/domain', 'event-log.js'), 'x');
    writeFileSync(join(root, 'server', 'secret.js'), 'x');
    const page = (await readPageFiles(root))!;
    expect([...page].map(([url, { contentType }]) => [url, contentType.split(';')[0]]).sort()).toEqual([
      ['/', 'text/html'],
      ['/dashboard/index.html', 'text/html'],
      ['/dashboard/page.js', 'text/javascript'],
      ['/dashboard/style.css', 'text/css'],
      ['/scheduler/domain/event-log.js', 'text/javascript'],
      ['/uplot/uPlot.esm.js', 'text/javascript'],
      ['/uplot/uPlot.min.css', 'text/css'],
    ]);
    expect(page.get('/')!.body.toString()).toBe('index.html');
    expect(page.get('/')!.etag).not.toBe(page.get('/dashboard/page.js')!.etag);
    expect(page.get('/')!.etag).toMatch(/^"[\w-]{22}"$/);
  });
});
