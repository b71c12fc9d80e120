import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity, simple } from '../../research/load-models/tiny-graphs.js';
import { parseEventLog } from '../../src/scheduler/domain/event-log.js';
import { findChromium, openBrowser, openPage } from './browser.js';
import { infer, scrape } from './server/clients.js';
import { eventually, TestBench, type RunningServer } from './server/harness.js';

/* The dashboard as a person has it: a real server, a real browser, what the page says against what the server counted. */

const chromiumPath = findChromium();
if (chromiumPath === null) {
  console.warn('dashboard: SKIPPED, no Chromium here; install one (apt-get install chromium) or set SPONGE_CHROMIUM');
}

const DATA = Array.from({ length: 16 }, (_, index) => index);
const INPUTS = ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32' as const, shape: [1, 16], data: DATA }));

/** Rows are divided, each goes through the model `simple`, and their sums come together again. */
const SUMS = `
inputs:
  rows: { datatype: INT32, shape: [-1, 16] }
outputs: [sum]
steps:
  - name: split
    function: ./split.mjs
    inputs: { rows: rows }
    outputs: { row: { datatype: INT32, shape: [1, 16], list: true } }
  - name: twice
    model: simple
    for_each: [INPUT0, INPUT1]
    inputs: { INPUT0: row, INPUT1: row }
    outputs: { OUTPUT0: doubled }
  - name: sum
    function: ./sum.mjs
    inputs: { rows: doubled }
    outputs: { sum: { datatype: INT32, shape: [-1] } }
`;
const SPLIT = `
export default function split({ rows }) {
  if (rows.data[0] < 0) throw new Error('row 1 is below zero');
  return { row: Array.from({ length: rows.shape[0] }, (_, row) => ({ shape: [1, 16], data: rows.data.slice(16 * row, 16 * row + 16) })) };
}`;
const SUM = `
export default function sum({ rows }) {
  return { sum: { shape: [rows.length], data: Int32Array.from(rows, ({ data }) => data.reduce((all, each) => all + each, 0)) } };
}`;

/** The number before or behind a label of a legend: "on time 12" → 12. */
async function legend(page: Page, card: string, label: string): Promise<number> {
  const text = await page.locator(`#${card} .legend li`, { hasText: label }).first().locator('b').textContent();
  return Number((text ?? '').replaceAll('\u202f', '').split(' ')[0]);
}

const textOf = async (page: Page, selector: string): Promise<string> => (await page.textContent(selector)) ?? '';

const fitsInWidth = (page: Page): Promise<boolean> =>
  page.evaluate('document.documentElement.scrollWidth <= window.innerWidth');

/** The pixels of a chart. */
const pictureOf = (page: Page, card: string): Promise<string> =>
  page.evaluate(`document.querySelector('#${card} canvas').toDataURL()`);

describe.skipIf(chromiumPath === null)('the dashboard', () => {
  // Made before the tests, not with them: skipped ones must leave nothing behind.
  let bench: TestBench;
  let server: RunningServer;
  let browser: Browser;

  const root = (): string => server.metrics.replace(/metrics$/, '');
  const send = async (count: number): Promise<void> => {
    for (let sent = 0; sent < count; sent++) {
      expect((await infer(server, 'simple', INPUTS, { sloMs: 20_000 })).status).toBe(200);
    }
  };
  /** The network took three seconds of one: refused at once. */
  const sendUnsalvageable = async (count: number): Promise<void> => {
    const options = { sloMs: 1000, parameters: { sponge_upload_us: 3_000_000 } };
    for (let sent = 0; sent < count; sent++) expect((await infer(server, 'simple', INPUTS, options)).status).toBe(504);
  };
  const openLive = async (options = {}): ReturnType<typeof openPage> => {
    const opened = await openPage(browser, root(), options);
    await opened.page.locator('#state[data-state=live]').waitFor();
    await opened.page.getByRole('button', { name: 'simple' }).click();
    return opened;
  };

  beforeAll(async () => {
    bench = new TestBench();
    const models = bench.repository('models', { quiet: identity('FP32'), simple: simple() });
    bench.file('models/sums/pipeline.yaml', SUMS);
    bench.file('models/sums/split.mjs', SPLIT);
    bench.file('models/sums/sum.mjs', SUM);
    [server, browser] = await Promise.all([bench.serve(models, ['--no-refine']), openBrowser(chromiumPath!)]);
    await send(12);
    await sendUnsalvageable(3);
  });
  afterAll(async () => {
    await browser.close();
    await bench.close();
  });

  it('shows what the metrics count', async () => {
    const { page, complaints } = await openLive();
    const counted = await scrape(server);
    const of = (name: string, labels: Record<string, string> = {}): number =>
      counted.sum(name, { model: 'simple', ...labels });
    await eventually('all outcomes', async () => (await legend(page, 'outcomes', 'on time')) === 12);
    expect(await legend(page, 'outcomes', 'on time')).toBe(
      of('sponge_outcomes_total', { outcome: 'completed_on_time' }),
    );
    expect(await legend(page, 'outcomes', 'infeasible')).toBe(
      of('sponge_outcomes_total', { outcome: 'rejected_infeasible' }),
    );
    expect(await legend(page, 'outcomes', 'failed')).toBe(of('sponge_outcomes_total', { outcome: 'failed' }));
    expect(await textOf(page, '#value-on-time')).toBe('80.0 %');
    expect(await textOf(page, '#value-refused')).toBe('3');
    expect(await textOf(page, '#value-queue-depth')).toBe(String(of('sponge_queue_depth')));
    const batches = of('sponge_batch_size_count');
    expect(await textOf(page, '#batches .note')).toContain(
      `${batches} batches of ${(12 / batches).toFixed(1)} on average`,
    );
    const cores = of('sponge_allocation_millicores') / 1000;
    await eventually('the allocation', async () => (await legend(page, 'allocation', 'granted')) === cores);
    const declared = page.locator('#sources [data-source=declared_upload] td');
    // Three seconds of network, of which no more than their SLO can be charged.
    expect(await declared.allTextContents()).toEqual(['', '20.0 %', '3', '1.00 s']);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('has a panel for everything that is decided, each with a title and a description', async () => {
    const { page } = await openLive();
    const titles = await page.locator('.card:visible h2').allTextContents();
    expect(titles).toEqual([
      'Cores by model cores',
      'Allocation and demand cores',
      'Plan and why',
      'Queue by deadline ms to deadline',
      'Queue depth requests',
      'Outcomes requests/s',
      'Latency of answers ms',
      'Time left on arrival ms',
      'Batch size requests',
      'Predicted → actual ms a batch',
      'Resizes ms to be in force',
      'Network delay by source',
    ]);
    const drawings = page.locator('.card:visible [role=img]');
    expect(await drawings.count()).toBe(10);
    for (const drawing of await drawings.all()) expect(await drawing.getAttribute('aria-label')).toMatch(/\w+ \w+/);
    expect(await textOf(page, '#plan .plan')).toMatch(/^[\d.]+ cores, batches up to \d+$/);
    await page.close();
  });

  it('says how to send a request to a model that has had none', async () => {
    const { page } = await openLive();
    await page.locator('#empty').waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'quiet' }).click();
    await page.locator('#empty').waitFor();
    expect(await textOf(page, '#empty')).toContain('npx sponge infer quiet');
    await page.close();
  });

  it('holds the view while it is paused, and has everything when it goes on', async () => {
    const { page } = await openLive();
    await eventually('all outcomes', async () => (await legend(page, 'outcomes', 'infeasible')) === 3);
    await page.keyboard.press('Escape');
    await page.locator('h1').click();
    await page.keyboard.press('Space');
    await page.locator('#state[data-state=paused]').waitFor();
    const before = await legend(page, 'outcomes', 'on time');
    await page.waitForTimeout(400);
    const picture = await pictureOf(page, 'outcomes');

    await send(5);
    await page.waitForTimeout(800);
    expect(await legend(page, 'outcomes', 'on time')).toBe(before);
    expect(await pictureOf(page, 'outcomes')).toBe(picture);

    await page.getByRole('button', { name: 'Resume' }).click();
    await eventually('the five', async () => (await legend(page, 'outcomes', 'on time')) === before + 5);
    await page.close();
  });

  it('shows one instant on all charts when it is pointed at', async () => {
    // High enough for all of them: what is not on the screen is not drawn.
    const { page } = await openLive({ viewport: { width: 1280, height: 1300 } });
    await eventually('the charts', async () => (await legend(page, 'outcomes', 'infeasible')) === 3);
    await page.locator('#allocation .u-over').hover();
    const positions = await page
      .locator('.card:visible .u-cursor-x')
      .evaluateAll((lines) =>
        (lines as unknown as { readonly style: { readonly transform: string } }[]).map(({ style }) => style.transform),
      );
    expect(positions.length).toBeGreaterThan(6);
    for (const position of positions) expect(position).toMatch(/translate\((?!-)/);
    await eventually('the instant', async () => /pointed at/.test(await textOf(page, '#queue .note')));
    await page.close();
  });

  it('forgets after a while what a finger tapped', async () => {
    const { page } = await openPage(browser, root(), { viewport: { width: 390, height: 1300 }, hasTouch: true });
    await page.locator('#state[data-state=live]').waitFor();
    await eventually('the newest', async () => /^now/.test(await textOf(page, '#queue .note')));
    await page.locator('#allocation .u-over').tap();
    await eventually('the instant', async () => /pointed at/.test(await textOf(page, '#queue .note')));
    await eventually('the newest', async () => /^now/.test(await textOf(page, '#queue .note')));
    await page.close();
  });

  it('fits a telephone without scrolling sideways', async () => {
    const { page, complaints } = await openLive({ viewport: { width: 390, height: 844 } });
    expect(await fitsInWidth(page)).toBe(true);
    const narrowest = await page
      .locator('.card:visible')
      .evaluateAll((cards) =>
        Math.min(...(cards as unknown as { readonly clientWidth: number }[]).map(({ clientWidth }) => clientWidth)),
      );
    expect(narrowest).toBeGreaterThan(350);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('is light or dark as the reader wants, and remembers it', async () => {
    const { page } = await openLive({ colorScheme: 'dark' });
    const background = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const dark = await background();
    await page.getByRole('button', { name: 'Theme: auto' }).click();
    const light = await background();
    expect(light).not.toBe(dark);
    await page.reload();
    expect(await background()).toBe(light);
    await page.getByRole('button', { name: 'Theme: light' }).click();
    expect(await background()).toBe(dark);
    await page.close();
  });

  describe('with an event log', () => {
    let log: string;

    beforeAll(async () => {
      log = bench.path('run.jsonl');
      const scenario = ['authors-applied', '--policies', 'sponge', '--set', 'durationSec=30'];
      const { code, stderr } = await bench.run(['simulate', ...scenario, '--threads', '1', '--event-log', log]);
      expect(code, stderr).toBe(0);
    });

    it('shows the whole of it, by the count of its lines', async () => {
      const { page, complaints } = await openPage(browser, root());
      await page.setInputFiles('#log-file', log);
      await page.locator('#state[data-state=log]').waitFor();
      const { header, records } = parseEventLog(readFileSync(log, 'utf8'));
      const count = (outcome: string): number =>
        records.filter((record) => record.kind === 'request-finished' && record.outcome === outcome).length;
      const onTime = count('completed_on_time');
      expect(onTime).toBeGreaterThan(400);
      await eventually('the log', async () => (await legend(page, 'outcomes', 'on time')) === onTime);
      expect(await legend(page, 'outcomes', 'late')).toBe(count('completed_late'));
      const written = records.filter((record) => record.kind === 'resized' && record.isWritten).length;
      expect((await textOf(page, '#resizes .note')).replaceAll('\u202f', '')).toContain(`${written} written`);
      expect(await textOf(page, '#run')).toContain(header.title);
      // Its middle is pointed at: the queue is the one of then.
      await page.locator('#allocation .u-over').hover();
      await eventually('the instant', async () => /^at 0:1\d\.\d\d/.test(await textOf(page, '#queue .note')));
      expect(await fitsInWidth(page)).toBe(true);
      expect(complaints).toEqual([]);
      await page.close();
    });

    it('shows several models on one budget, and what each instance of the one that is chosen does', async () => {
      const nodeLog = bench.path('node.jsonl');
      const { code, stderr } = await bench.run([
        ...['simulate', 'four-models', '--policies', 'sponge', '--set', 'durationSec=20'],
        ...['--threads', '1', '--event-log', nodeLog],
      ]);
      expect(code, stderr).toBe(0);
      const { page, complaints } = await openPage(browser, root(), { viewport: { width: 1280, height: 1300 } });
      await page.setInputFiles('#log-file', nodeLog);
      await page.locator('#state[data-state=log]').waitFor();
      await eventually('the budget', async () => (await legend(page, 'model-cores', 'budget')) === 8);
      expect(await page.locator('#model-cores .legend li:visible').allTextContents()).toEqual([
        ...['mlp', 'resnet18', 'yolov5n', 'yolov5s'].map(
          (name) => expect.stringMatching(`^${name} [\\d.]+$`) as string,
        ),
        'budget 8.00',
      ]);
      await eventually('the note', async () =>
        /^\d\.\d\d of 8\.00 cores on average/.test(await textOf(page, '#model-cores .note')),
      );

      await page.getByRole('button', { name: 'yolov5s' }).click();
      await page.locator('#lanes').waitFor();
      await page.locator('#allocation .u-over').hover();
      // Of four instances each runs or rests at any time.
      await eventually('the lanes', async () => {
        const [running, resting] = [await legend(page, 'lanes', 'running'), await legend(page, 'lanes', 'resting')];
        return Math.abs(running + resting - 4) < 0.11;
      });
      await eventually('the instances', async () =>
        /^(0 of 4 instances run|[1-4] of 4 instances run, on [\d.]+ cores)$/.test(await textOf(page, '#plan .plan')),
      );
      expect(await textOf(page, '#plan thead')).toContain('instance');
      expect(await textOf(page, '#plan .reasons')).toMatch(/%.*arrival rate/);
      expect(await fitsInWidth(page)).toBe(true);
      expect(complaints).toEqual([]);

      // A model by itself, and an instance by itself, have neither.
      await page.setInputFiles('#log-file', log);
      await page.locator('#lanes').waitFor({ state: 'hidden' });
      expect(await page.locator('#model-cores').isVisible()).toBe(false);
      await page.close();
    });

    it('zooms into what is dragged over, and out of it again', async () => {
      const { page } = await openPage(browser, root());
      await page.setInputFiles('#log-file', log);
      await page.locator('#state[data-state=log]').waitFor();
      const whole = page.getByRole('button', { name: 'Whole run' });
      await eventually('the log', async () => (await legend(page, 'outcomes', 'on time')) > 400);
      const all = await legend(page, 'outcomes', 'on time');
      const plot = (await page.locator('#allocation .u-over').boundingBox())!;
      await page.mouse.move(plot.x + plot.width * 0.25, plot.y + 20);
      await page.mouse.down();
      await page.mouse.move(plot.x + plot.width * 0.5, plot.y + 30, { steps: 5 });
      await page.mouse.up();
      expect(await whole.getAttribute('aria-pressed')).toBe('false');
      // A quarter of the run; its rate is about constant.
      await page.mouse.move(5, 5);
      await eventually('the part', async () => {
        const part = await legend(page, 'outcomes', 'on time');
        return part > 0.15 * all && part < 0.35 * all;
      });
      await page.mouse.dblclick(plot.x + 100, plot.y + 20);
      expect(await whole.getAttribute('aria-pressed')).toBe('true');
      await page.close();
    });

    it('says in one line what is wrong with a file that is none, and stays live', async () => {
      const { page, complaints } = await openLive();
      const dropped = await page.evaluateHandle(
        "(() => { const all = new DataTransfer(); all.items.add(new File(['a,b\\n1,2\\n'], 'sheet.csv')); return all; })()",
      );
      await page.dispatchEvent('body', 'drop', { dataTransfer: dropped });
      await page.locator('#problem').waitFor();
      expect(await textOf(page, '#problem')).toMatch(/^sheet\.csv: line 1 is not the header of an event log .+$/);
      await page.locator('#state[data-state=live]').waitFor();
      expect(complaints).toEqual([]);
      await page.close();
    });

    it('stays live when a log has a header but not what belongs into it', async () => {
      const { page, complaints } = await openLive();
      const [head = ''] = readFileSync(log, 'utf8').split('\n', 1);
      const text = `${head}\n{"kind":"planned","atMs":5,"model":0}\n`;
      await page.setInputFiles('#log-file', { name: 'bare.jsonl', mimeType: 'text/plain', buffer: Buffer.from(text) });
      await page.locator('#problem').waitFor();
      expect(await textOf(page, '#problem')).toMatch(
        /^bare\.jsonl: event 1, planned, is not as this page knows it: .+$/,
      );
      await page.locator('#state[data-state=live]').waitFor();
      await page.locator('[data-window="10000"]').click();
      await eventually('silence', async () => (await textOf(page, '#value-rate')) === '0.0');
      await send(2);
      await eventually('the two', async () => (await legend(page, 'outcomes', 'on time')) === 2);
      expect(complaints).toEqual([]);
      await page.close();
    });

    it('goes back to the live server, and shows nothing of the log until it is heard', async () => {
      const { page } = await openPage(browser, root());
      await page.setInputFiles('#log-file', log);
      await page.locator('#state[data-state=log]').waitFor();
      await page.route('**/events', async (route) => {
        await page.locator('#tiles').waitFor({ state: 'hidden' });
        await route.continue();
      });
      await page.getByRole('button', { name: 'Back to live' }).click();
      await page.locator('#state[data-state=live]').waitFor();
      await page.locator('#tiles').waitFor();
      await page.close();
    });
  });

  describe('with a pipeline', () => {
    const rows = (first: number) => [
      { name: 'rows', datatype: 'INT32' as const, shape: [3, 16], data: [first, ...DATA, ...DATA, ...DATA.slice(1)] },
    ];
    const cells = async (page: Page, step: string): Promise<string[]> =>
      page.locator(`#pipeline tr[data-step=${step}] td`).allTextContents();
    const openPipeline = async (options = {}): ReturnType<typeof openPage> => {
      const opened = await openLive(options);
      await opened.page.getByRole('button', { name: 'sums' }).click();
      await opened.page.locator('#pipeline').waitFor();
      return opened;
    };

    beforeAll(async () => {
      for (let sent = 0; sent < 4; sent++) {
        const { status, json } = await infer(server, 'sums', rows(0), { sloMs: 20_000 });
        expect(status, json.error).toBe(200);
      }
      expect((await infer(server, 'sums', rows(-1), { sloMs: 20_000 })).status).toBe(500);
      const late = { sloMs: 1000, parameters: { sponge_upload_us: 3_000_000 } };
      for (let sent = 0; sent < 2; sent++) expect((await infer(server, 'sums', rows(0), late)).status).toBe(504);
    });

    it('draws its steps, where time and cores go, and where requests are lost, as the metrics count them', async () => {
      const { page, complaints } = await openPipeline();
      await eventually('all outcomes', async () => (await legend(page, 'outcomes', 'on time')) === 4);
      await eventually('all that is lost', async () => (await legend(page, 'pipeline', 'lost')) === 3);
      const counted = await scrape(server);
      const drops = (step: string): number => counted.sum('sponge_pipeline_drops_total', { model: 'sums', step });
      expect([drops('(door)'), drops('split')]).toEqual([2, 1]);
      const door = await page.locator('#pipeline tbody tr').first().allTextContents();
      expect(door.join()).toMatch(/^\(door\)2 \w+$/);
      expect((await cells(page, 'split')).at(-1)).toBe('1 backend');

      // Runs, parts of a request, what waits and runs now.
      expect((await cells(page, 'split')).slice(0, 4)).toEqual(['function split.mjs', '1.00', '0', '0']);
      expect((await cells(page, 'twice')).slice(0, 4)).toEqual(['model simple', '3.00', '0', '0']);
      expect((await cells(page, 'sum')).slice(0, 4)).toEqual(['function sum.mjs', '1.00', '0', '0']);
      const shares = await Promise.all(
        ['split', 'twice', 'sum'].map(async (step) => Number.parseFloat((await cells(page, step))[8]!)),
      );
      expect(shares.reduce((sum, each) => sum + each, 0)).toBeCloseTo(100, 0);

      const flow = page.locator('#pipeline .flow');
      expect(await flow.getAttribute('aria-label')).toMatch(
        /^Pipeline of 3 steps\. most time .*; 3 lost: 2 at the door, 1 at split$/,
      );
      expect(await flow.locator('.node').allTextContents()).toEqual([
        expect.stringMatching(/^requests[\d.]+\/s2 lost$/),
        expect.stringMatching(/^splitsplit\.mjs.* cores.*parts\/s0 wait, 0 run$/),
        expect.stringMatching(/^twice×3model simple/),
        expect.stringMatching(/^sumsum\.mjs/),
        expect.stringMatching(/^answered[\d.]+\/s57\.1 % on time.* to spare$/),
      ]);
      expect((await flow.locator('.parts').allTextContents()).filter((text) => text !== '')).toEqual(['×3']);
      expect(await flow.locator('span.drain:visible').allTextContents()).toEqual(['1 lost']);

      // A view that is held is not told again, and is the same at another width.
      await page.getByRole('button', { name: 'Pause' }).click();
      const asUpright = '#pipeline .flow .node.end:first-of-type';
      const before = await page.locator(asUpright).boundingBox();
      await page.setViewportSize({ width: 390, height: 900 });
      await eventually(
        'the other picture',
        async () => (await page.locator(asUpright).boundingBox())!.width > before!.width,
      );
      expect(await flow.locator('span.drain:visible').allTextContents()).toEqual(['1 lost']);
      expect(complaints).toEqual([]);
      await page.close();
    });

    it('shows of it what a pipeline has, and has it back with a model', async () => {
      const { page } = await openPipeline();
      const titles = async (): Promise<string> => (await page.locator('.card:visible h2').allTextContents()).join();
      await eventually('its panels', async () => !(await titles()).includes('Plan and why'));
      expect(await titles()).toContain('Pipeline where time and cores go');
      expect(await titles()).not.toMatch(/Allocation|Batch size|Resizes|Predicted/);
      expect(await textOf(page, '#run')).toContain('sums v1 · a pipeline');
      await page.getByRole('button', { name: 'simple' }).click();
      await eventually('its panels', async () => (await titles()).includes('Plan and why'));
      expect(await titles()).not.toContain('Pipeline');
      await page.close();
    });

    it('draws it from left to right, and from above on a telephone', async () => {
      for (const [width, isUpright] of [
        [1280, false],
        [390, true],
      ] as const) {
        const { page, complaints } = await openPipeline({ viewport: { width, height: 900 } });
        const nodes = await page.locator('#pipeline .node').all();
        const places = (await Promise.all(nodes.map((node) => node.boundingBox()))).map((place) => place!);
        expect(places).toHaveLength(5);
        for (const [index, next] of places.slice(1).entries()) {
          const place = places[index]!;
          if (isUpright) expect(next.y).toBeGreaterThan(place.y + place.height);
          else expect(next.x).toBeGreaterThan(place.x + place.width);
        }
        expect(await fitsInWidth(page)).toBe(true);
        expect(complaints).toEqual([]);
        await page.close();
      }
    });
  });

  it('says that the server is gone', async () => {
    const { page } = await openLive();
    await server.stop();
    await page.locator('#state[data-state=disconnected]').waitFor();
    expect(await textOf(page, '#state')).toBe('disconnected, trying again');
    await page.close();
  });
});
