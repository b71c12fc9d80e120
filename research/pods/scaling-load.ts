/** Requests per second at each second: a day as a sinusoid from 40 to 320, and a flash crowd of 300 more after seven tenths of it, within five seconds. */
export function scalingRates(durationSec: number): readonly number[] {
  const crowdAtSec = Math.round(0.7 * durationSec);
  return Array.from({ length: durationSec }, (_, second) => {
    const day = 180 - 140 * Math.cos((2 * Math.PI * second) / durationSec);
    return day + 300 * crowd(second - crowdAtSec);
  });
}

/** Up in five seconds, there for a minute, gone half a minute later. */
function crowd(second: number): number {
  if (second < 0) return 0;
  if (second < 5) return second / 5;
  return second < 60 ? 1 : Math.max(0, 1 - (second - 60) / 30);
}
