/**
 * Takes a member out of a list of a few, which keeps its order. For what runs side by side: mostly one comes and goes, again and
 * again, and a set, a map or `splice` then makes its storage anew each time, which took a tenth of a simulated run.
 */
export function removeFrom<T>(list: T[], member: T): void {
  const place = list.indexOf(member);
  if (place === -1) throw new Error('not in the list');
  for (let index = place; index < list.length - 1; index++) list[index] = list[index + 1]!;
  list.pop();
}
