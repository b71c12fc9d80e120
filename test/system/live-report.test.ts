import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { liveReport } from '../../research/live/report/live-report.js';
import { stagedResults } from '../fixtures/live-results.js';
import { findChromium, openBrowser, openPage } from './browser.js';

/* The live report as a person opens it: from a file, in a real browser, on a screen, in the dark and on a phone. */

const chromiumPath = findChromium();
if (chromiumPath === null) {
  console.warn('live report: SKIPPED, no Chromium here; install one (apt-get install chromium) or set SPONGE_CHROMIUM');
}

const PHONE = { width: 390, height: 844 };

interface Box {
  readonly name: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

interface Drawing extends Box {
  readonly texts: readonly Box[];
}

/** What is seen, in px: a narrow drawing stands in for a wide one on a phone. Runs in the page. A text with a rim is the one below. */
const SHOWN_DRAWINGS = `
  [...document.querySelectorAll('figure svg')].filter((drawing) => drawing.checkVisibility()).map((drawing) => {
    const boxOf = (element, name) => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      return { name, left, right, top, bottom };
    };
    const texts = [...drawing.querySelectorAll('text')].filter((text) => text.textContent !== '' && !text.hasAttribute('stroke'));
    return { ...boxOf(drawing, drawing.getAttribute('aria-label')), texts: texts.map((text) => boxOf(text, text.textContent)) };
  })`;

function shownDrawings(page: Page): Promise<Drawing[]> {
  return page.evaluate(SHOWN_DRAWINGS);
}

/** By more than a hair: a line's box is higher than its letters. */
function overlappingTexts({ name, texts }: Drawing): string[] {
  const shared = (a: Box, b: Box, low: 'left' | 'top', high: 'right' | 'bottom'): number =>
    Math.min(a[high], b[high]) - Math.max(a[low], b[low]);
  return texts.flatMap((a, index) =>
    texts
      .slice(index + 1)
      .filter((b) => shared(a, b, 'left', 'right') > 2 && shared(a, b, 'top', 'bottom') > 4)
      .map((b) => `"${a.name}" on "${b.name}" in ${name}`),
  );
}

function groundOf(page: Page): Promise<string> {
  return page.evaluate('getComputedStyle(document.body).backgroundColor');
}

describe.skipIf(chromiumPath === null)('the live report in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sponge-live-report-'));
  const path = join(folder, 'report.html');
  let browser: Browser;

  beforeAll(async () => {
    writeFileSync(path, await liveReport(stagedResults({ durationSec: 30, repetitions: 3, clients: 6 })));
    browser = await openBrowser(chromiumPath!);
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  it.each([
    ['on a screen', { colorScheme: 'light' }],
    ['in the dark', { colorScheme: 'dark' }],
    ['on a phone', { viewport: PHONE, colorScheme: 'light' }],
    ['on a phone in the dark', { viewport: PHONE, colorScheme: 'dark' }],
  ] as const)(
    'is whole %s: nothing to complain of, nothing beside the page, no text on another',
    async (_, options) => {
      const { page, complaints } = await openPage(browser, pathToFileURL(path).href, options);
      const drawings = await shownDrawings(page);
      const { length: figures } = await page.locator('figure').all();
      expect(drawings).toHaveLength(figures);
      for (const { name, left, right, top, bottom, texts } of drawings) {
        expect(Math.min(right - left, bottom - top), name).toBeGreaterThan(150);
        expect(texts.length, name).toBeGreaterThan(4);
      }
      expect(drawings.flatMap(overlappingTexts)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true);
      expect(complaints).toEqual([]);
      await page.close();
    },
  );

  it('follows the reader’s light or dark setting', async () => {
    const { page } = await openPage(browser, pathToFileURL(path).href, { colorScheme: 'light' });
    const light = await groundOf(page);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await groundOf(page)).not.toBe(light);
    await page.close();
  });

  it('asks nothing of the network', async () => {
    const page = await browser.newPage();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(path).href);
    expect(asked).toEqual([pathToFileURL(path).href]);
    await page.close();
  });
});
