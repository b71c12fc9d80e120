import { describe, expect, it } from 'vitest';
import { Parts } from './parts.js';

describe('the parts of a server', () => {
  it('end in the reverse order, one after the other', async () => {
    const parts = new Parts();
    const ended: string[] = [];
    parts.add('first', (part) => void ended.push(part));
    parts.add('second', async (part) => {
      await new Promise(setImmediate);
      ended.push(part);
    });
    await parts.close();
    expect(ended).toEqual(['second', 'first']);
  });

  it('all end although some cannot be ended, which is said in one line afterwards', async () => {
    const parts = new Parts();
    const ended: string[] = [];
    parts.add('first', (part) => void ended.push(part));
    parts.add('second', () => {
      throw new Error('the group is busy');
    });
    parts.add('third', (part) => void ended.push(part));
    parts.add('fourth', () => Promise.reject(new Error('no such file')));
    await expect(parts.close()).rejects.toThrow('not everything could be ended: no such file; the group is busy');
    expect(ended).toEqual(['third', 'first']);
    // Nothing is ended twice.
    await parts.close();
    expect(ended).toEqual(['third', 'first']);
  });
});
