import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findMemoryRoom } from './memory.js';

const MIB = 1024 ** 2;
let root = '';
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A file system with so much memory, and groups. */
function machine(files: Readonly<Record<string, string>>): string {
  root = mkdtempSync(join(tmpdir(), 'sponge-memory-'));
  const all = { 'proc/meminfo': 'MemTotal:       1024000 kB\nMemFree: 1 kB\nMemAvailable:    512000 kB\n', ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const V2 = {
  'proc/self/mountinfo': '1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n',
  'proc/self/cgroup': '0::/pod/app\n',
};

describe('the memory there is', () => {
  it('is the machine’s where nothing limits it', () => {
    const room = findMemoryRoom(machine({}));
    expect(room).toMatchObject({ limitBytes: 1024000 * 1024, limitedBy: 'machine' });
    expect(room.usedBytes()).toBe(512000 * 1024);
  });

  it('is the tightest limit on the way up, less the page cache', () => {
    const group = 'sys/fs/cgroup/pod';
    const room = findMemoryRoom(
      machine({
        ...V2,
        [`${group}/memory.max`]: String(256 * MIB),
        [`${group}/memory.current`]: String(200 * MIB),
        [`${group}/memory.stat`]: `anon 1\ninactive_file ${50 * MIB}\nactive_file ${30 * MIB}\n`,
        [`${group}/app/memory.max`]: 'max\n',
        [`${group}/app/memory.current`]: '5\n',
      }),
    );
    expect(room).toMatchObject({ limitBytes: 256 * MIB, limitedBy: 'cgroup' });
    expect(room.usedBytes()).toBe(120 * MIB);
    writeFileSync(join(root, group, 'memory.max'), String(512 * MIB));
    expect(room.limitBytes).toBe(512 * MIB);
  });

  it('is found in a v1 hierarchy too, whose "no limit" is a number beyond any machine', () => {
    const group = 'sys/fs/cgroup/memory';
    const files = {
      'proc/self/mountinfo': '1 1 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n',
      'proc/self/cgroup': '4:memory:/app\n',
      [`${group}/memory.limit_in_bytes`]: '9223372036854771712\n',
      [`${group}/app/memory.limit_in_bytes`]: String(512 * MIB),
      [`${group}/app/memory.usage_in_bytes`]: String(100 * MIB),
      [`${group}/app/memory.stat`]: `inactive_file 1\ntotal_inactive_file ${10 * MIB}\ntotal_active_file 0\n`,
    };
    const room = findMemoryRoom(machine(files));
    expect(room).toMatchObject({ limitBytes: 512 * MIB, limitedBy: 'cgroup' });
    expect(room.usedBytes()).toBe(90 * MIB);
  });
});
