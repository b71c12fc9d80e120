import { describe, expect, it } from 'vitest';
import { policyTitles } from '../simulator/policies/policies.js';
import { policyLooks } from './policy-look.js';

describe('the look of a policy', () => {
  it('is the strong colour for ours, whatever else is shown, and for ours alone', () => {
    const names = policyTitles().map(({ name }) => name);
    for (const policies of [names, names.toReversed(), ['sponge']]) {
      const looks = policyLooks(policies);
      policies.forEach((policy, i) => expect(looks[i]!.colour === 'ours', policy).toBe(policy.startsWith('sponge')));
    }
  });

  it('does not depend on who else is there, but for the shape of relatives', () => {
    const colourOf = (policy: string, all: readonly string[]): string => policyLooks(all)[all.indexOf(policy)]!.colour;
    const all = policyTitles().map(({ name }) => name);
    for (const policy of all) expect(colourOf(policy, all)).toBe(colourOf(policy, [policy]));
    expect(policyLooks(['static-8', 'paper', 'static-16']).map(({ shape }) => shape)).toEqual([
      'circle',
      'circle',
      'square',
    ]);
  });

  it('has a short label, unless two policies would then have the same', () => {
    const labels = (...policies: string[]): string[] => policyLooks(policies).map(({ label }) => label);
    expect(labels('sponge', 'static(cores=6,batch=4,order=edf)')).toEqual(['sponge', 'static 6 4 edf']);
    const twins = ['static(cores=4,batch=8,order=edf)', 'static(cores=4,maxbatch=8,order=edf)'];
    expect(labels(...twins)).toEqual(twins);
  });
});
