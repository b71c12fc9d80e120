import type { LiveResults } from '../live-results.js';
import {
  AGREEMENT_MEASURES,
  agreementsOf,
  HEADLINE,
  idleText,
  liveSpread,
  rangeText,
  type AgreementCell,
  type Measure,
  type Setting,
} from '../live-tables.js';
import type { Cell, Table } from '../../../src/reports/page.js';
import type { LookedSetting } from './repetitions-chart.js';

/* The tables of the live report: medians, with the range over the repetitions below each. */

const UNKNOWN = '–';

export function headlineTable(settings: readonly LookedSetting[]): Table {
  return {
    kind: 'table',
    columns: [{ heading: 'policy' }, { heading: 'idle CPU' }, ...HEADLINE.map(columnOf)],
    rows: settings.map(({ setting, look }) => ({
      name: setting.liveCase.name,
      swatch: look.colour,
      cells: [idleText(setting.isIdleReleased), ...HEADLINE.map((measure) => spreadCell(setting, measure))],
    })),
    notes: [
      ['small print', 'the least and the most of the repetitions'],
      [
        'core-s charged',
        'granted or used, whichever is more, every instance and cold start and the idle floor included',
      ],
      ['core-s used', "by the kernel's counter of the workers' CPU groups"],
      ['router', 'CPU of everything outside those groups: sockets, decoding, planning'],
      ['p50, p99', 'from sending to the answer, of all that were answered'],
      ['throttled', 'time for which the kernel held threads of the groups back'],
    ],
  };
}

function columnOf({ heading, unit }: Measure): Table['columns'][number] {
  return unit === undefined ? { heading } : { heading, unit };
}

function spreadCell(setting: Setting, measure: Measure): Cell {
  const spread = liveSpread(setting, measure);
  if (spread === null) return UNKNOWN;
  const range = rangeText(spread, measure);
  const text = measure.text(spread.median);
  return range === null ? text : { text, note: range };
}

/** What each cell says: the error, and below it live → simulated. */
export function agreementTable(settings: readonly LookedSetting[], results: LiveResults): Table {
  return {
    kind: 'table',
    columns: [{ heading: 'policy' }, { heading: 'idle CPU' }, ...AGREEMENT_MEASURES.map(columnOf)],
    rows: agreementsOf(results).map(({ setting, cells }) => ({
      name: setting.liveCase.name,
      swatch: settings.find((each) => each.setting.liveCase === setting.liveCase)!.look.colour,
      cells: [
        idleText(setting.isIdleReleased),
        ...cells.map((cell, index) => agreementTableCell(cell, AGREEMENT_MEASURES[index]!)),
      ],
    })),
    notes: [['small print', 'median of the live runs → simulated; ○ the simulated value lies within their range']],
  };
}

function agreementTableCell(cell: AgreementCell | null, { text }: Measure): Cell {
  if (cell === null) return UNKNOWN;
  return {
    text: `${cell.isWithinRange ? '○ ' : ''}${cell.error}`,
    note: `${text(cell.live.median)} → ${text(cell.simulated)}`,
  };
}

export function profileTable(profile: LiveResults['model']['profile']): Table {
  return {
    kind: 'table',
    columns: [
      { heading: 'allocation' },
      { heading: 'one alone', unit: 'ms, typical' },
      { heading: 'best batch', unit: 'requests/s' },
    ],
    rows: profile.map(({ cores, aloneMs, mostPerSec }) => ({
      name: coresText(cores),
      cells: [aloneMs.toFixed(1), mostPerSec.toFixed(1)],
    })),
    notes: [['profile', 'as measured on this machine before the first run']],
  };
}

export function coresText(cores: number): string {
  return `${cores} core${cores === 1 ? '' : 's'}`;
}
