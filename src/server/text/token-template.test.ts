import { describe, expect, it } from 'vitest';
import { framed, frameTokens, templateOf, type Encode } from './token-template.js';

/** Letters are 10 and more; frames of BERT: 1 text 2, or 1 text 2 other 2. */
const bert: Encode = (text, pair, isFramed) => {
  const own = (letters: string): number[] => Array.from(letters, (letter) => letter.charCodeAt(0) - 87);
  const ids = isFramed ? [1, ...own(text), 2, ...(pair === null ? [] : [...own(pair), 2])] : own(text);
  return { ids, token_type_ids: ids.map((_, i) => (pair !== null && i > text.length + 1 ? 1 : 0)) };
};
/** None. */
const bare: Encode = (text) => {
  const ids = Array.from(text, (letter) => letter.charCodeAt(0) - 87);
  return { ids, token_type_ids: ids.map(() => 0) };
};

describe('the frame of a text', () => {
  it('is put around what is left of a text that is too long', () => {
    const template = templateOf(bert, 1);
    expect(frameTokens(template)).toBe(2);
    expect([...framed(template, [[10, 11, 12]], 5).ids]).toEqual([1, 10, 11, 12, 2]);
    expect([...framed(template, [[10, 11, 12]], 4).ids]).toEqual([1, 10, 11, 2]);
    expect([...framed(template, [[]], 4).ids]).toEqual([1, 2]);
  });

  it('is put around a pair, whose longer is cut first, with the type of each', () => {
    const template = templateOf(bert, 2);
    const whole = framed(template, [[10], [20, 21]], 9);
    expect([[...whole.ids], [...whole.types]]).toEqual([
      [1, 10, 2, 20, 21, 2],
      [0, 0, 0, 1, 1, 1],
    ]);
    expect([...framed(template, [[10], [20, 21, 22, 23]], 6).ids]).toEqual([1, 10, 2, 20, 21, 2]);
    expect([...framed(template, [[10, 11, 12, 13], [20]], 6).ids]).toEqual([1, 10, 11, 2, 20, 2]);
    // Both too long: half of the room each.
    expect([
      ...framed(
        template,
        [
          [10, 11, 12],
          [20, 21, 22],
        ],
        7,
      ).ids,
    ]).toEqual([1, 10, 11, 2, 20, 21, 2]);
  });

  it('may be nothing, and is refused where it cannot be told from the text', () => {
    expect([...framed(templateOf(bare, 1), [[10, 11]], 8).ids]).toEqual([10, 11]);
    const silent: Encode = () => ({ ids: [], token_type_ids: [] });
    expect(() => templateOf(silent, 1)).toThrow('cannot be told from those of the text');
  });
});
