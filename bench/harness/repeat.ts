/**
 * Runs every variant once, then every one again, and so on, so that a disturbance meets all of them alike; every other
 * round goes backwards. The first round warms up and is dropped.
 * @returns one value a round for each variant
 */
export async function interleaved<Name extends string>(
  roundCount: number,
  variants: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Readonly<Record<Name, readonly number[]>>> {
  const names = Object.keys(variants) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round <= roundCount; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const value = await variants[name]();
      if (round > 0) values[name].push(value);
    }
  }
  return values;
}
