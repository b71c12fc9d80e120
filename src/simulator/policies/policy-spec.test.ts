import { describe, expect, it } from 'vitest';
import { parsePolicySpec, splitPolicies } from './policy-spec.js';

describe('a policy', () => {
  it('is a name, or a name with parameters', () => {
    expect(parsePolicySpec('sponge')).toEqual({ name: 'sponge', parameters: {} });
    expect(parsePolicySpec(' static( cores=6.5, order=edf ) ')).toEqual({
      name: 'static',
      parameters: { cores: '6.5', order: 'edf' },
    });
  });

  it.each(['', 'Static', 'static(', 'static(cores)', 'static(cores=)', 'a b'])('%j is refused in one line', (text) => {
    expect(() => parsePolicySpec(text)).toThrow(/^policy "[^\n]*$/);
  });
});

describe('a list of policies', () => {
  it('is split at the commas outside of parentheses', () => {
    expect(splitPolicies('sponge, static(cores=6,batch=4) ,paper')).toEqual([
      'sponge',
      'static(cores=6,batch=4)',
      'paper',
    ]);
  });

  it('may be empty', () => {
    expect(splitPolicies(' , ')).toEqual([]);
  });
});
