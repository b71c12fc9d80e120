import { describe, expect, it } from 'vitest';
import { groupNameOf } from './server.js';

describe('the CPU group of a model', () => {
  it('is called after the server and the model where the kernel takes the name', () => {
    expect(groupNameOf('default', 'ocr-v4.1')).toBe('default-ocr-v4.1');
  });

  it('has a plain name, told apart by a hash, where the model’s is not', () => {
    const names = ['a b', 'a_b', 'a/b', 'ä'.repeat(80), 'ö'.repeat(80)].map((model) => groupNameOf('default', model));
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[\w.-]{1,64}$/);
  });
});
