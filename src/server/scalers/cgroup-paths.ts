import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where this process stands in one cgroup hierarchy. Both are directories; `own` is `mountPoint` or below it. */
export interface CgroupPlace {
  readonly mountPoint: string;
  readonly own: string;
}

export interface CgroupPlaces {
  readonly v2: CgroupPlace | null;
  /** By controller, such as `cpu`; controllers mounted together share a place. */
  readonly v1: ReadonlyMap<string, CgroupPlace>;
}

/**
 * Finds the hierarchies that are mounted and this process in them, from `/proc/self/{mountinfo,cgroup}` (proc(5),
 * cgroups(7)). In a container the mount may show only a part of the tree; paths are taken relative to that part.
 * @param root where the file system starts; other than `/` only in tests
 */
export function findCgroupPlaces(root = '/'): CgroupPlaces {
  const ownPaths = readOwnPaths(root);
  const v1 = new Map<string, CgroupPlace>();
  let v2: CgroupPlace | null = null;
  for (const mount of readCgroupMounts(root)) {
    if (mount.isV2) v2 ??= placeIn(root, mount, ownPaths.get('') ?? '/');
    for (const controller of mount.controllers) {
      const ownPath = ownPaths.get(controller);
      if (ownPath !== undefined && !v1.has(controller)) v1.set(controller, placeIn(root, mount, ownPath));
    }
  }
  return { v2, v1 };
}

interface CgroupMount {
  readonly isV2: boolean;
  readonly mountPoint: string;
  /** The part of the hierarchy that is visible at the mount point. */
  readonly visibleRoot: string;
  readonly controllers: readonly string[];
}

function placeIn(root: string, mount: CgroupMount, ownPath: string): CgroupPlace {
  const mountPoint = join(root, mount.mountPoint);
  // A process moved outside its cgroup namespace reads as `/..`; one outside the visible part has no own directory.
  const visible = mount.visibleRoot === '/' ? '' : mount.visibleRoot;
  const isVisible = !ownPath.startsWith('/..') && (ownPath === visible || ownPath.startsWith(`${visible}/`));
  return { mountPoint, own: isVisible ? join(mountPoint, ownPath.slice(visible.length)) : mountPoint };
}

/** Lines: `id parent major:minor root mount-point options [optional fields] - type source super-options`. */
function readCgroupMounts(root: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of readLines(join(root, 'proc/self/mountinfo'))) {
    const [before, after] = line.split(' - ');
    const [, , , visibleRoot, mountPoint] = (before ?? '').split(' ');
    const [type, , superOptions] = (after ?? '').split(' ');
    if ((type !== 'cgroup' && type !== 'cgroup2') || visibleRoot === undefined || mountPoint === undefined) continue;
    mounts.push({
      isV2: type === 'cgroup2',
      mountPoint: unescapeOctal(mountPoint),
      visibleRoot: unescapeOctal(visibleRoot),
      controllers: type === 'cgroup' ? (superOptions ?? '').split(',') : [],
    });
  }
  return mounts;
}

/** Lines: `hierarchy-id:controller,controller:/path`; the v2 hierarchy names no controller and is kept under ''. */
function readOwnPaths(root: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of readLines(join(root, 'proc/self/cgroup'))) {
    const [, controllers, ...path] = line.split(':');
    for (const controller of (controllers ?? '').split(',')) paths.set(controller, path.join(':'));
  }
  return paths;
}

/** mountinfo writes space, tab, newline and backslash as `\040`, `\011`, `\012`, `\134`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return []; // not Linux, or /proc is not mounted: no hierarchies
  }
}
