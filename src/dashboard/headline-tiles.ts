import { make, setText } from './elements.js';
import { cores, duration, percent, perSecond, whole } from './format.js';
import type { Headline } from './headline.js';
import { OUTCOMES } from './model-state.js';

/* The numbers at the top, over the range that is looked at. */

interface Tile {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  /** For who wonders what is counted. */
  readonly about: string;
  readonly value: (headline: Headline) => string;
  /** Stands out when it is not zero. */
  readonly isAlarm?: (headline: Headline) => boolean;
}

const TILES: readonly Tile[] = [
  tile('rate', 'requests', '/s', 'received per second', (all) => perSecond(all.requestsPerSec)),
  tile('goodput', 'goodput', '/s', 'answered on time, per second', (all) => perSecond(all.goodputPerSec)),
  {
    ...tile('on-time', 'on time', '', 'of all that ended; those cancelled in time are left out', (all) =>
      percent(all.onTimeFraction),
    ),
    isAlarm: ({ onTimeFraction }) => onTimeFraction !== null && onTimeFraction < 0.99,
  },
  violations('late', 'late', 'answered after the deadline', ['completed_late']),
  violations('refused', 'refused', 'at once: infeasible on arrival, or shed under overload', [
    'rejected_infeasible',
    'rejected_overload',
  ]),
  violations('lost', 'expired, failed', 'expired, or failed', ['expired', 'failed']),
  tile('cores', 'mean cores', '', 'granted, idle time included; of a pipeline, what its parts ran on', (all) =>
    cores(all.meanMillicores),
  ),
  tile('queue-depth', 'queue now', '', 'requests that wait; of a pipeline, all that it holds', (all) =>
    whole(all.queueDepth),
  ),
  tile('p50', 'latency p50', '', 'received to answered, completed requests', (all) => duration(all.latencyP50Ms)),
  tile('p99', 'latency p99', '', 'received to answered, completed requests', (all) => duration(all.latencyP99Ms)),
  {
    ...tile(
      'standstill',
      'longest stop',
      '',
      'the router itself stood still: the longest in this range, of 50 ms or more',
      (all) => (all.standstillMs === 0 ? '0' : duration(all.standstillMs)),
    ),
    isAlarm: ({ standstillMs }) => standstillMs > 0,
  },
];

export class HeadlineTiles {
  readonly #values: readonly HTMLElement[];

  constructor(root: HTMLElement) {
    this.#values = TILES.map(({ id, label, unit, about }) => {
      const value = make('b', { id: `value-${id}` });
      const figure = make('dd', {}, value);
      if (unit !== '') figure.append(make('small', {}, unit));
      root.append(make('div', { title: about }, make('dt', {}, label), figure));
      return value;
    });
  }

  tell(headline: Headline): void {
    TILES.forEach(({ value, isAlarm }, index) => {
      setText(this.#values[index]!, value(headline));
      this.#values[index]!.classList.toggle('alarm', isAlarm?.(headline) ?? false);
    });
  }
}

function tile(id: string, label: string, unit: string, about: string, value: Tile['value']): Tile {
  return { id, label, unit, about, value };
}

function violations(id: string, label: string, about: string, names: readonly (typeof OUTCOMES)[number][]): Tile {
  const count = ({ outcomes }: Headline): number =>
    names.reduce((sum, name) => sum + outcomes[OUTCOMES.indexOf(name)]!, 0);
  return { ...tile(id, label, '', about, (all) => whole(count(all))), isAlarm: (all) => count(all) > 0 };
}
