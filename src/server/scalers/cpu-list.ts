/** Reads the kernel's CPU list format, such as `0-2,7` → [0, 1, 2, 7] (cpuset(7), "List format"). */
export function parseCpuList(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last] = range.split('-').map(Number);
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, offset) => first! + offset);
  });
}
