import { afterAll, describe, expect, it } from 'vitest';
import { readPage } from '../../../examples/read-page.js';
import { REPOSITORY_ROOT, TestBench } from './harness.js';

/* The example that is a product: a photographed page in, its lines with their places out, four real networks' worth of work in one call. */

const bench = new TestBench();
afterAll(() => bench.close());

/** The recogniser is unsure of spaces, and of nothing else. */
const WRITTEN = [
  'DeliverynoteNo.20417',
  'SpongeLogistics,HarbourRoad8',
  '12boxesofseasalt',
  '3cratesoforanges',
  'Totalweight184kg',
  'Signhere:J.Marlow',
  // Upside down on the page.
  'Returntowarehouse7',
];

describe('the page of the examples', () => {
  it('is read exactly, each line where it stands', async () => {
    // What reads TypeScript keeps what it has compiled.
    const env = { TSX_DISABLE_CACHE: '1' };
    const flags = ['--no-refine', '--instances', 'auto'];
    const server = await bench.serve(`${REPOSITORY_ROOT}examples/page/models`, flags, env);
    const { lines } = await readPage(server.rest, `${REPOSITORY_ROOT}examples/page/page.jpg`, 120_000);
    expect(lines.map(({ text }) => text.replaceAll(' ', ''))).toEqual(WRITTEN);
    // Drawn from x = 110 on, 58 apart, on a sheet that is turned by 2.5 degrees.
    const tops = lines.slice(0, -1).map(({ corners }) => corners[1]!);
    tops.slice(1).forEach((top, index) => expect(top - tops[index]!).toBeGreaterThan(40));
    for (const { corners } of lines.slice(0, -1)) expect(Math.abs(corners[0]! - 110)).toBeLessThan(25);
    for (const { confidence } of lines) expect(confidence).toBeGreaterThan(0.8);
    // Another one like it shares nothing with the first but the threads, and reads the same.
    const again = await Promise.all(
      [1, 2].map(() => readPage(server.rest, `${REPOSITORY_ROOT}examples/page/page.jpg`, 120_000)),
    );
    for (const each of again) expect(each.lines.map(({ text }) => text)).toEqual(lines.map(({ text }) => text));
  });
});
