/** At most so many at a time, begun in order. Rejects with the first rejection, when none runs any more. */
export async function inParallel<Item>(
  items: readonly Item[],
  most: number,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const lanes = Array.from({ length: most }, async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await task(item);
  });
  await allEnded(lanes);
}

/** Rejects with the first of them that has rejected, when none runs any more. */
export async function allEnded(running: readonly Promise<unknown>[]): Promise<void> {
  const ends = await Promise.allSettled(running);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
