import { InvalidArgumentError } from 'commander';
import { positiveNumber } from './options.js';

/* Words and numbers of `sponge plan`, and what it may be asked. */

export function coresText(cpuMillicores: number): string {
  return cpuMillicores === 1000 ? '1 core' : `${tidy(cpuMillicores / 1000)} cores`;
}

/** At most three decimals, none that are zero. */
export function tidy(value: number): string {
  return String(Number(value.toFixed(3)));
}

export function millicoresOf(cores: number): number {
  return Math.round(cores * 1000);
}

/** Every (c, b) is looked at, so both are bounded. */
const MOST_CORES = 1024;
const LARGEST_BATCH = 1024;

export function boundedCores(text: string): number {
  const value = positiveNumber(text);
  if (value > MOST_CORES) throw new InvalidArgumentError(`Give ${MOST_CORES} or less.`);
  return value;
}

export function wholeBatch(text: string): number {
  const value = positiveNumber(text);
  if (!Number.isInteger(value) || value > LARGEST_BATCH) {
    throw new InvalidArgumentError(`Give a whole number from 1 to ${LARGEST_BATCH}.`);
  }
  return value;
}
