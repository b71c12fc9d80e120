/* Takes all the CPU that it gets: somebody else on the same machine. Ends with its parent. */

process.on('message', () => undefined);
process.on('disconnect', () => process.exit());
const spin = (): void => {
  const until = performance.now() + 50;
  while (performance.now() < until);
  setImmediate(spin); // To hear of the end.
};
spin();
