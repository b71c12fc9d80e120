import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeOwnFile } from './own-file.js';

it('a file that we make is for its owner alone; one that is there keeps the mode that it was given', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sponge-own-file-'));
  try {
    const path = join(folder, 'report.html');
    const modeOf = (): number => statSync(path).mode & 0o777;
    writeOwnFile(path, 'first');
    expect(modeOf()).toBe(0o600);
    chmodSync(path, 0o644);
    writeOwnFile(path, 'second');
    expect(modeOf()).toBe(0o644);
    expect(readFileSync(path, 'utf8')).toBe('second');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
