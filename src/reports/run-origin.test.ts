import { describe, expect, it } from 'vitest';
import { commandText, commitText, describeMachine, describeOrigin } from './run-origin.js';

describe('where numbers come from', () => {
  it('is this machine, now, and this code', () => {
    const origin = describeOrigin({ command: 'sponge simulate bursts', seeds: '1' });
    expect(origin).toMatchObject({ command: 'sponge simulate bursts', seeds: '1', machine: describeMachine() });
    expect(origin.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(Math.abs(Date.now() - Date.parse(origin.date))).toBeLessThan(60_000);
    expect(origin.machine).toMatchObject({ cores: expect.any(Number) as number, node: process.version });
    // In a clone a commit, elsewhere none.
    expect(commitText() ?? '0000000').toMatch(/^[0-9a-f]{7,}(?: with changes)?$/);
  });

  it('has a command that a shell reads as it was given', () => {
    expect(commandText(['simulate', 'bursts', '--set', 'arrivals.ratePerSec=30'])).toBe(
      'sponge simulate bursts --set arrivals.ratePerSec=30',
    );
    expect(commandText(['--policies', 'static(cores=8)', "it's", ''])).toBe(
      `sponge --policies 'static(cores=8)' 'it'\\''s' ''`,
    );
  });
});
