import { execFileSync, spawn } from 'node:child_process';
import { accessSync, chmodSync, constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundle } from '../scalers/bundle.js';

/*
 * Runs the scaler suite on cgroup v2 in an emulated machine: a Debian kernel with an initial file system of this
 * machine's Node, busybox and the bundled suite. It proves semantics, not speed. Exits 0 where it cannot run, and says so.
 */

const CACHE =
  process.env['SPONGE_GUEST_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sponge-inference/cgroup-v2-guest');
const KERNEL = join(CACHE, 'vmlinuz');
const BUSYBOX = join(CACHE, 'busybox');

/** A guest that prints nothing for so long counts as hung; its slowest test took 20 s on a machine that others kept busy. */
const SILENT_MS = 300_000;

/** Of the serial console, when the guest broke down: enough for a kernel panic. */
const LAST_LINES = 60;

function findMissing(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux on x86-64';
  if (!isOnPath('qemu-system-x86_64')) return 'qemu-system-x86_64 is missing';
  for (const file of [KERNEL, BUSYBOX]) if (!existsSync(file)) return `${file} is missing`;
  return null;
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Lays out the guest's root directory and packs it. @returns the archive */
function buildInitialFileSystem(directory: string): string {
  const root = join(directory, 'root');
  for (const dir of ['bin', 'dev', 'proc', 'sys', 'tmp']) mkdirSync(join(root, dir), { recursive: true });
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  copyFileSync(process.execPath, join(root, 'bin/node'));
  for (const library of sharedLibraries(process.execPath)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library));
  }
  copyFileSync(join(import.meta.dirname, 'init.sh'), join(root, 'init'));
  for (const program of ['init', 'bin/busybox', 'bin/node']) chmodSync(join(root, program), 0o755);
  bundle(join(import.meta.dirname, 'guest.ts'), join(root, 'guest.mjs'));
  bundle(join(import.meta.dirname, '../scalers/helper.ts'), join(root, 'helper.mjs'));
  const archive = join(directory, 'initramfs');
  const pack = 'cd "$1" && find . | "$2" cpio -o -H newc > "$3" 2>/dev/null';
  execFileSync('sh', ['-c', pack, 'sh', root, BUSYBOX, archive]);
  return archive;
}

/** Lines of ldd(1): `name => /path (address)`, or `/path (address)` for the loader itself. */
function sharedLibraries(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => /(?:^|\s)(\/\S+) \(/.exec(line)?.[1] ?? []);
}

/** @returns the lines that the guest printed */
async function boot(archive: string): Promise<string[]> {
  const args = ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '768', '-nographic', '-no-reboot'];
  args.push('-nic', 'none', '-kernel', KERNEL, '-initrd', archive, '-append', 'console=ttyS0 quiet panic=-1');
  const guest = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const watchdog = setTimeout(() => guest.kill('SIGKILL'), SILENT_MS);
  const lines: string[] = [];
  for await (const line of createInterface(guest.stdout)) {
    watchdog.refresh();
    lines.push(line);
    if (/^(guest: |ok: |not ok: | {4})/.test(line)) console.log(line);
  }
  clearTimeout(watchdog);
  return lines;
}

async function main(): Promise<void> {
  const missing = findMissing();
  if (missing !== null) {
    console.warn(`SKIPPED the cgroup v2 suite: ${missing}; sh test/system/cgroup-v2/prepare.sh fetches what it can`);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'sponge-cgroup-v2-'));
  try {
    const lines = await boot(buildInitialFileSystem(directory));
    const passed = lines.filter((line) => line.startsWith('ok: ')).length;
    const failed = lines.filter((line) => line.startsWith('not ok: ')).length;
    const isComplete = lines.some((line) => line.startsWith('guest: end')) && passed > 0;
    if (!isComplete) console.log(lines.slice(-LAST_LINES).join('\n'));
    console.log(
      `cgroup v2 suite: ${passed} passed, ${failed} failed${isComplete ? '' : ', and the guest did not finish'}`,
    );
    if (failed > 0 || !isComplete) process.exitCode = 1;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

await main();
