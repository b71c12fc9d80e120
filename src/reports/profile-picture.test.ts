import { describe, expect, it } from 'vitest';
import { profileCell } from '../scheduler/perf-model/profile-cell.js';
import type { Profile } from '../scheduler/perf-model/profile.js';
import { publishedProfile } from '../scheduler/perf-model/published.js';
import { profilePicture } from './profile-picture.js';

/** l(b, c) = 10·b/c + 5 ms, each cell run once at that and once 20 % slower. */
const PROFILE: Profile = {
  schemaVersion: 1,
  name: 'a & b',
  fingerprint: {
    modelSha256: '00',
    cpuModel: 'Example <CPU>',
    cpuCount: 2,
    scaler: 'cgroup-v2',
    quotaPeriodUs: 10_000,
    threadCounts: [1, 2],
    onnxRuntimeVersion: '1.30.0',
    shapeClassKey: 'x:FP32[3]',
  },
  elementCount: 3,
  quality: 'full',
  measuredAt: '2026-02-03T04:05:06.000Z',
  cells: [1, 4].flatMap((batchSize) =>
    [500, 1000, 2000].map((cpuMillicores) => {
      const latencyMs = (10_000 * batchSize) / cpuMillicores + 5;
      return profileCell({ batchSize, cpuMillicores, threadCount: 1 }, [latencyMs, 1.2 * latencyMs]);
    }),
  ),
};

/** The drawing below a caption. */
function panel(page: string, caption: string): string {
  const from = page.indexOf(`<figcaption>${caption}`);
  expect(from, caption).toBeGreaterThan(0);
  return page.slice(from, page.indexOf('</svg>', from));
}

function labels(svg: string, kind: 'x' | 'y'): { at: number; value: number }[] {
  const matches = svg.matchAll(new RegExp(`<text class="${kind}-label" x="([\\d.]+)" y="([\\d.]+)">([\\d.]+)<`, 'g'));
  // Labels on the left are written 4 px below the line that they name.
  return [...matches].map(([, x, y, text]) => ({ at: kind === 'x' ? Number(x) : Number(y) - 4, value: Number(text) }));
}

/** What a person reads off a logarithmic axis at a pixel. */
function readOff(at: number, marks: readonly { at: number; value: number }[]): number {
  const [low, high] = [marks[0]!, marks.at(-1)!];
  return low.value * (high.value / low.value) ** ((at - low.at) / (high.at - low.at));
}

const points = (svg: string): { x: number; y: number; tailY: number }[] =>
  [
    ...svg.matchAll(
      /<path class="whisker" d="M[\d.]+ [\d.]+L[\d.]+ ([\d.]+).*?<circle class="point" cx="([\d.]+)" cy="([\d.]+)"/gs,
    ),
  ].map(([, tailY, x, y]) => ({ x: Number(x), y: Number(y), tailY: Number(tailY) }));

describe('the picture of a profile', () => {
  const page = profilePicture(PROFILE, { command: 'sponge profile m.onnx' });

  it('puts the middle of three allocations, each twice the one before, into the middle of the plot', () => {
    // From x = 54 to 372 − 14 = 358; the middle is (54 + 358) / 2 = 206.
    expect(points(panel(page, 'batch size 1')).map(({ x }) => x)[1]).toBe(206);
  });

  it('shows every measured median and p99 where its axes say', () => {
    for (const batchSize of [1, 4]) {
      const svg = panel(page, `batch size ${batchSize}`);
      const drawn = points(svg);
      const cells = PROFILE.cells.filter((cell) => cell.batchSize === batchSize);
      expect(drawn).toHaveLength(cells.length);
      for (const [i, { cpuMillicores, p50Ms, p99Ms }] of cells.entries()) {
        // A tenth of a pixel is up to 0.2 % of a value here.
        expect(readOff(drawn[i]!.x, labels(svg, 'x')) / (cpuMillicores / 1000)).toBeCloseTo(1, 2);
        expect(readOff(drawn[i]!.y, labels(svg, 'y')) / p50Ms).toBeCloseTo(1, 2);
        expect(readOff(drawn[i]!.tailY, labels(svg, 'y')) / p99Ms).toBeCloseTo(1, 2);
      }
    }
  });

  it('draws the curve that plans above the typical one', () => {
    const svg = panel(page, 'batch size 4');
    const firstY = (kind: string): number =>
      Number(new RegExp(`<path class="${kind}" d="M[\\d.]+ ([\\d.]+)`).exec(svg)![1]);
    expect(firstY('planned')).toBeLessThan(firstY('typical'));
  });

  it('shows how many requests a second a batch size gives', () => {
    // p50 of {25, 30} ms is 27.5 ms: 4 / 27.5 ms = 145.5/s.
    expect(panel(page, 'throughput')).toContain('4 on 2 cores: 145.5/s');
  });

  it('names model, machine, date, quality and command, with nothing taken for markup', () => {
    for (const text of [
      'a &amp; b',
      'Example &lt;CPU&gt; × 2',
      '2026-02-03 04:05',
      'full profile',
      'sponge profile m.onnx',
    ]) {
      expect(page).toContain(text);
    }
    expect(page).not.toContain('<CPU>');
  });

  it('needs nothing from anywhere else', () => {
    expect(page).not.toMatch(/<script|<link|@import|https?:|url\(|\bsrc=/);
  });

  it('draws published tables, which name no machine', () => {
    const published = publishedProfile('yolov5s');
    const drawn = profilePicture(published, { command: '' });
    expect(drawn.match(/<g><path class="whisker"/g)).toHaveLength(published.cells.length);
    expect(drawn).toContain('published profile');
    expect(drawn).not.toContain('NaN');
  });

  it('draws a single cell', () => {
    const single = profilePicture({ ...PROFILE, cells: PROFILE.cells.slice(0, 1) }, { command: '' });
    expect(points(panel(single, 'batch size 1')).map(({ x }) => x)).toEqual([206]);
    expect(single).not.toContain('NaN');
  });
});
