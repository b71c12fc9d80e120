import { describe, expect, it } from 'vitest';
import { elementsOf, parseMarkup, textsOf } from '../../test/fixtures/markup.js';
import { colour, COLOURS, renderChart, textWidthPx, type ChartSpec } from './chart.js';

const bars: ChartSpec = {
  description: 'Three bars',
  width: 120,
  height: 60,
  data: {
    values: [
      { name: 'a', value: 1 },
      { name: 'b', value: 2 },
      { name: 'c', value: 3 },
    ],
  },
  mark: { type: 'bar', color: colour('ours'), clip: true },
  encoding: { x: { field: 'value', type: 'quantitative' }, y: { field: 'name', type: 'nominal' } },
};

describe('a chart', () => {
  it('is an SVG image that fills its width and says what it shows', async () => {
    const svg = elementsOf(parseMarkup(await renderChart(bars)), 'svg');
    expect(svg).toHaveLength(1);
    expect(svg[0]!.attributes).toMatchObject({ role: 'img', 'aria-label': 'Three bars', width: '100%' });
    expect(svg[0]!.attributes['viewBox']).toMatch(/^0 0 \d+ \d+$/);
    expect(textsOf(svg[0]!, 'title')).toEqual(['Three bars']);
  });

  it('has a mark for each value, in a colour that the page decides', async () => {
    const svg = parseMarkup(await renderChart(bars));
    const drawn = elementsOf(svg, 'path').filter(({ attributes }) => attributes['fill'] === 'var(--ours, #0b68cb)');
    expect(drawn).toHaveLength(3);
    expect(textsOf(svg, 'text')).toEqual(expect.arrayContaining(['a', 'b', 'c', 'name', 'value']));
  });

  it('has only colours that the page can change', async () => {
    const colours = elementsOf(parseMarkup(await renderChart(bars)))
      .flatMap(({ attributes }) => [attributes['fill'], attributes['stroke']])
      .filter((value) => value !== undefined && value !== 'none' && value !== 'transparent');
    expect(colours.length).toBeGreaterThan(3);
    for (const value of colours) expect(value).toMatch(/^var\(--[a-z]+, #[0-9a-f]{6}\)$/);
  });

  it('is the same each time, and shares no id with another on its page', async () => {
    const other = { ...bars, width: 130 };
    const [first, different, second] = [await renderChart(bars), await renderChart(other), await renderChart(bars)];
    expect(second).toBe(first);
    const ids = (svg: string): (string | undefined)[] =>
      elementsOf(parseMarkup(svg), 'clipPath').map(({ attributes }) => attributes['id']);
    expect(ids(first)).toHaveLength(1);
    expect(ids(first)).not.toEqual(ids(different));
    expect(first).toContain(`url(#${ids(first)[0]!})`);
  });

  it('escapes texts', async () => {
    const svg = await renderChart({
      ...bars,
      description: '</title><script>alert(1)</script>',
      data: { values: [{ name: '<b>"&"</b>', value: 1 }] },
    });
    expect(svg).not.toMatch(/<script|<b>/);
    expect(textsOf(parseMarkup(svg), 'text')).toContain('&lt;b&gt;"&amp;"&lt;/b&gt;');
  });

  it.each<[string, ChartSpec]>([
    ['data', { ...bars, data: { url: 'https://example.com/data.json' } }],
    ['a file', { ...bars, data: { url: '/etc/hostname' } }],
    ['a picture', { ...bars, mark: 'image', encoding: { url: { value: 'https://example.com/a.png' } } }],
    ['a link', { ...bars, encoding: { href: { value: 'https://example.com' } } }],
  ])('loads nothing: %s', async (_, spec) => {
    await expect(renderChart(spec)).rejects.toThrow(/^chart "Three bars": (?:loads|links to) /);
  });

  it('refuses a chart that its compiler warns of', async () => {
    const wrong = { ...bars, mark: { type: 'bar', interpolate: 'step' }, encoding: { shape: { field: 'name' } } };
    await expect(renderChart(wrong as ChartSpec)).rejects.toThrow(/^chart "Three bars": /);
  });
});

describe('colours', () => {
  it('are seen: those of policies stand out from the ground, light and dark', () => {
    const policies = ['ours', 'vermilion', 'amber', 'slate', 'green', 'purple', 'pink', 'brown'] as const;
    for (const name of policies) {
      for (const scheme of [0, 1] as const) {
        // WCAG 2.1, 1.4.11: graphics need 3 : 1.
        expect(contrast(COLOURS[name][scheme], COLOURS.card[scheme]), name).toBeGreaterThanOrEqual(2.95);
      }
    }
    for (const scheme of [0, 1] as const) {
      expect(contrast(COLOURS.soft[scheme], COLOURS.card[scheme])).toBeGreaterThan(4.5);
    }
  });

  it('have a width of text that errs on the large side', () => {
    expect(textWidthPx('sponge', 12)).toBe(Math.ceil(6 * 12 * 0.6));
  });
});

function contrast(a: string, b: string): number {
  const luminance = (hex: string): number => {
    const [red, green, blue] = [1, 3, 5]
      .map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}
