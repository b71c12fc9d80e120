import { describe, expect, it } from 'vitest';
import { groupNameOf } from './group-name.js';

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

  it('is never that of another model’s replica', () => {
    const replicas = Array.from({ length: 16 }, (_, index) => `${groupNameOf('default', 'a')}-r${index + 1}`);
    for (const model of ['a-r2', 'a-r16']) expect(replicas).not.toContain(groupNameOf('default', model));
    expect(groupNameOf('default', 'a-r2-b')).toBe('default-a-r2-b');
  });
});
