import { describe, expect, it } from 'vitest';
import { csvText } from './csv-text.js';

describe('CSV', () => {
  it('has a head, a line a row, and nothing for what is not known', () => {
    expect(
      csvText(
        ['name', 'size_bytes'],
        [
          ['a', 1.5],
          ['b', null],
        ],
      ),
    ).toBe('name,size_bytes\na,1.5\nb,\n');
  });

  it('quotes what would break it', () => {
    expect(csvText(['text'], [['a,b'], ['say "so"'], ['two\nlines']])).toBe(
      'text\n"a,b"\n"say ""so"""\n"two\nlines"\n',
    );
  });

  it('has no digits that mean nothing', () => {
    expect(csvText(['value'], [[0.1 + 0.2], [1234567.25]])).toBe('value\n0.3\n1234567.25\n');
  });
});
