import { describe, expect, it } from 'vitest';
import { groupNameOf } from './server.js';

describe('the CPU group of a model', () => {
  it('is called after the server and the model where the kernel takes the name', () => {
    expect(groupNameOf('default', 'ocr-v4.1')).toBe('default-ocr-v4.1');
  });

  it('has a plain name, told apart by a hash, where the model’s is not', () => {
    const models = ['a b', 'a_b', 'a/b', 'ä'.repeat(80), 'ö'.repeat(80), 'm'.repeat(54)];
    const names = models.map((model) => groupNameOf('default', model));
    expect(new Set(names).size).toBe(names.length);
    // With room for the number of a replica.
    for (const name of names) expect(`${name}-r16`).toMatch(/^[\w.-]{1,64}$/);
  });
});
