import type { TimeRange } from './binning.js';
import { makeCard, type Card } from './card.js';
import { make, setText } from './elements.js';
import { duration, percent, whole } from './format.js';
import { sourcesOf, type SourceNote } from './headline.js';
import { SOURCES, type ModelState } from './model-state.js';

/* Where the network delay that requests were charged was learned from. */

const MEANINGS: Readonly<Record<SourceNote['source'], string>> = {
  none: 'nothing charged',
  transfer: 'transfer seen here',
  declared_upload: 'upload the client declared',
  send_stamp: "client's send stamp",
};

export class SourcePanel {
  readonly card: Card;
  readonly #rows: readonly HTMLTableRowElement[];

  constructor() {
    this.card = makeCard({
      id: 'sources',
      title: 'Network delay by source',
      unit: '',
      about: 'What the network delay of requests was learned from, how many requests, and the median that was charged.',
      legend: [],
    });
    this.#rows = SOURCES.map((source) => {
      const name = make('th', { scope: 'row' }, MEANINGS[source]);
      const bar = make('td', { class: 'share' }, make('i'));
      return make('tr', { 'data-source': source }, name, bar, make('td'), make('td'), make('td'));
    });
    const labels = ['source', '', 'share', 'requests', 'median'].map((text) => make('th', { scope: 'col' }, text));
    this.card.content.append(
      make('table', {}, make('thead', {}, make('tr', {}, ...labels)), make('tbody', {}, ...this.#rows)),
    );
  }

  tell(model: ModelState, range: TimeRange): void {
    const notes = sourcesOf(model, range);
    const total = notes.reduce((sum, { requests }) => sum + requests, 0);
    notes.forEach(({ requests, delayP50Ms }, index) => {
      const row = this.#rows[index]!;
      const fraction = total === 0 ? 0 : requests / total;
      row.style.setProperty('--share', fraction.toFixed(3));
      row.classList.toggle('none', requests === 0);
      const texts = [percent(total === 0 ? null : fraction), whole(requests), duration(delayP50Ms)];
      texts.forEach((text, column) => setText(row.cells[column + 2]!, text));
    });
  }
}
