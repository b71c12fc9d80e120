/**
 * Thread counts worth a session (50–80 MB for a model like ResNet-18): every one up to four, then where another thread
 * still adds a sixth or more.
 */
export function usefulThreadCounts(maxMillicores: number): readonly number[] {
  const most = Math.max(1, Math.ceil(maxMillicores / 1000));
  const counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].filter((count) => count < most);
  return [...counts, Math.min(most, 64)];
}
