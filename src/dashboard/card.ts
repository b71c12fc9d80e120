import { make, setText } from './elements.js';
import type { ColourName } from './palette.js';

/* The frame that every panel stands in: a title with its unit, a legend that is also the read-out, the content, a note. */

export interface LegendEntry {
  readonly label: string;
  readonly colour: ColourName;
  readonly look: 'line' | 'block' | 'dot';
}

export interface CardOptions {
  readonly id: string;
  readonly title: string;
  /** Of the vertical axis; empty where there is none. */
  readonly unit: string;
  /** What it shows, in a sentence: the description for who cannot see it, and the tooltip of the title. */
  readonly about: string;
  readonly legend: readonly LegendEntry[];
}

export interface Card {
  readonly root: HTMLElement;
  readonly content: HTMLElement;
  /** One text an entry of the legend. */
  readOut(values: readonly string[]): void;
  /** Other names for the entries of the legend; null hides one. */
  rename(labels: readonly (string | null)[]): void;
  note(text: string): void;
}

export function makeCard({ id, title, unit, about, legend }: CardOptions): Card {
  const values = legend.map(() => make('b'));
  const names = legend.map(({ label }) => make('span', {}, label));
  const entries = legend.map(({ colour, look }, index) => {
    const swatch = make('i', { class: look });
    // Not as an attribute: the page's content security policy allows none.
    swatch.style.setProperty('--swatch', `var(--${colour})`);
    return make('li', {}, swatch, names[index]!, ' ', values[index]!);
  });
  const heading = make('h2', { title: about, id: `${id}-title` }, title);
  if (unit !== '') heading.append(' ', make('small', {}, unit));
  const content = make('div', { class: 'content' });
  const note = make('p', { class: 'note' });
  const head = make('header', {}, heading);
  if (entries.length > 0) head.append(make('ul', { class: 'legend' }, ...entries));
  const root = make('section', { id, class: 'card', 'aria-labelledby': `${id}-title` }, head, content, note);
  return {
    root,
    content,
    readOut: (texts) => values.forEach((value, index) => setText(value, texts[index] ?? '')),
    rename: (labels) =>
      labels.forEach((label, index) => {
        entries[index]!.hidden = label === null;
        setText(names[index]!, label ?? '');
      }),
    note: (text) => {
      setText(note, text);
      // It may be cut off.
      note.title = text;
    },
  };
}
