import { describe, expect, it } from 'vitest';
import { elementsOf, parseMarkup, textOf, textsOf } from '../../test/fixtures/markup.js';
import { renderPage, type Page } from './page.js';
import type { RunOrigin } from './run-origin.js';

const origin: RunOrigin = {
  command: 'sponge simulate bursts --report out.html',
  seeds: '1 to 3',
  commit: 'abc1234',
  version: '0.1.0',
  date: '2026-11-25T10:20:30.000Z',
  machine: { cpu: 'Some CPU', cores: 2, memoryGib: 24, kernel: 'Linux 6.1', node: 'v20.19.0' },
  tookSeconds: 12.4,
};

const page: Page = {
  title: 'A report',
  intro: ['What it is about, in `code`.'],
  sections: [
    {
      heading: 'First',
      text: ['How to read it.'],
      blocks: [
        {
          kind: 'figures',
          columns: 'halves',
          figures: [
            {
              title: 'One',
              swatch: 'ours',
              numbers: 'mean 3',
              caption: 'Down is better.',
              svg: '<svg id="one"></svg>',
            },
            { title: 'Two', svg: { wide: '<svg id="wide"></svg>', narrow: '<svg id="narrow"></svg>' } },
          ],
        },
        {
          kind: 'table',
          columns: [{ heading: 'policy' }, { heading: 'latency', unit: 'ms' }],
          rows: [{ name: 'sponge', swatch: 'ours', cells: ['12'] }],
          notes: [['latency', 'from sending']],
        },
      ],
    },
    {
      heading: 'Second',
      blocks: [
        { kind: 'facts', facts: [['load', '20 requests/s']] },
        { kind: 'details', summary: 'All of it', text: 'a: 1\nb: 2\n' },
      ],
    },
  ],
  origin,
};

describe('a report page', () => {
  const html = renderPage(page);
  const document = parseMarkup(html);

  it('has its title, sections, figures, tables and how it was made', () => {
    expect(textsOf(document, 'h1')).toEqual(['A report']);
    expect(textsOf(document, 'h2')).toEqual(['First', 'Second', 'How this was made']);
    expect(textsOf(document, 'h3')).toEqual(['One', 'Two']);
    expect(elementsOf(document, 'svg').map(({ attributes }) => attributes['id'])).toEqual(['one', 'wide', 'narrow']);
    expect(textsOf(document, 'th')).toEqual(['policy', 'latency ms', 'sponge']);
    expect(textsOf(document, 'td')).toEqual(['12']);
    expect(textsOf(document, 'pre')).toEqual(['a: 1\nb: 2\n']);
    expect(textsOf(document, 'code')).toEqual(['code', origin.command]);
    const made = textOf(elementsOf(document, 'footer')[0]!);
    for (const text of [
      '1 to 3',
      'sponge-inference 0.1.0, commit abc1234',
      '2026-11-25 10:20 UTC, 12 s of work',
      'Some CPU, 2 cores, 24 GiB, Linux 6.1, Node 20.19.0',
    ]) {
      expect(made).toContain(text);
    }
  });

  it('lists sentences, and says below a number what is to be known of it', () => {
    const other = parseMarkup(
      renderPage({
        ...page,
        sections: [
          {
            heading: 'More',
            blocks: [
              { kind: 'list', items: ['It was <late>.', 'So was `sponge`.'] },
              {
                kind: 'table',
                columns: [{ heading: 'policy' }, { heading: 'latency' }],
                rows: [{ name: 'sponge', cells: [{ text: '12', note: '11–13' }] }],
                notes: [],
              },
            ],
          },
        ],
      }),
    );
    expect(textsOf(other, 'li')).toEqual(['It was &lt;late&gt;.', 'So was sponge.']);
    expect(textsOf(other, 'td')).toEqual(['12 11–13']);
    expect(textsOf(elementsOf(other, 'td')[0]!, 'small')).toEqual(['11–13']);
  });

  it('names its package where there is no commit', () => {
    const made = renderPage({ ...page, origin: { ...origin, commit: null } });
    expect(made).toContain('<dd>sponge-inference 0.1.0</dd>');
  });

  it('needs nothing else: no script, no style, font or picture from elsewhere', () => {
    expect(html).not.toMatch(/https?:|<script|<link|<img|<iframe|@import|@font-face|url\(/i);
    expect(elementsOf(document).flatMap(({ attributes }) => Object.keys(attributes))).not.toContain('src');
  });

  it('says its colours for light, dark and paper', () => {
    expect(html).toContain('@media screen and (prefers-color-scheme: dark)');
    expect(html).toContain('@media print');
    expect(html).toContain('--ours: #0b68cb;');
    expect(html).toContain('--ours: #6cb2ff;');
  });

  it('escapes whatever it is told', () => {
    const bad = '"><script>alert(1)</script>&<img src=x onerror=alert(1)>';
    const attacked = renderPage({
      title: bad,
      intro: [bad, `\`${bad}\``],
      sections: [
        {
          heading: bad,
          text: [bad],
          blocks: [
            {
              kind: 'figures',
              columns: 'thirds',
              figures: [{ title: bad, numbers: bad, caption: bad, svg: '<svg></svg>' }],
            },
            {
              kind: 'table',
              columns: [{ heading: bad, unit: bad }],
              rows: [{ name: bad, cells: [bad] }],
              notes: [[bad, bad]],
            },
            { kind: 'facts', facts: [[bad, bad]] },
            { kind: 'details', summary: bad, text: bad },
          ],
        },
      ],
      origin: {
        ...origin,
        command: bad,
        seeds: bad,
        commit: bad,
        machine: { ...origin.machine, cpu: bad, kernel: bad },
      },
      notes: [[bad, bad]],
    });
    expect(attacked).not.toMatch(/<script|<img/);
    const elements = elementsOf(parseMarkup(attacked));
    expect(elements.flatMap(({ attributes }) => Object.keys(attributes))).not.toContain('onerror');
    expect(textsOf(parseMarkup(attacked), 'h1')).toEqual([
      '&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;img src=x onerror=alert(1)&gt;',
    ]);
  });
});
