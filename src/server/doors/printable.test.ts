import { describe, expect, it } from 'vitest';
import { printable } from './printable.js';

describe('a name for people to read', () => {
  it('drives no terminal, begins no line, and does not turn text around', () => {
    expect(printable('ocr\u001b[2J\r\n\u009b1m\u202egnp\u2028')).toBe(
      'ocr\\u001b[2J\\u000d\\u000a\\u009b1m\\u202egnp\\u2028',
    );
  });

  it('is else what it was', () => {
    for (const name of ['ocr-v2.1', 'Größe', '文字', '\u{1f600}', 'a/b c']) expect(printable(name)).toBe(name);
  });
});
