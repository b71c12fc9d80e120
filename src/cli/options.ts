import { closeSync, existsSync, openSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { InvalidArgumentError, type Command, type Option } from 'commander';

/*
 * Every flag can also come from the environment (`--grpc-port` is `SPONGE_GRPC_PORT`) and from a YAML file given with
 * `--config` (`grpc-port: 9001`). The command line beats the environment, the environment beats the file.
 */

const MAX_CONFIG_BYTES = 1024 * 1024;

/** A command's mistake that is the user's to mend: printed as one line, exit code 1. */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** Gives every option of a command its environment variable, and the command `--config`. Call after adding options. */
export function withConfiguration(command: Command): Command {
  for (const option of command.options) {
    if (option.envVar === undefined && option.long !== undefined) option.env(environmentName(option));
  }
  command.option('--config <file>', 'YAML file with any of these flags, e.g. "grpc-port: 9001"');
  return command.hook('preAction', (_, acting) => {
    applyEnvironment(acting);
    const path = acting.getOptionValue('config') as string | undefined;
    return path === undefined ? undefined : applyFile(acting, path);
  });
}

function environmentName(option: Option): string {
  return `SPONGE_${option.name().replaceAll('-', '_').toUpperCase()}`;
}

/** Commander reads the variables only of options that had theirs when they were added. */
function applyEnvironment(command: Command): void {
  for (const option of command.options) {
    const text = option.envVar === undefined ? undefined : process.env[option.envVar];
    if (text === undefined || !isUnset(command, option)) continue;
    const isFlag = option.isBoolean() || option.negate;
    setValue(command, option, isFlag ? flagValue(text, option.envVar!) : text, 'env', option.envVar!);
  }
}

function flagValue(text: string, name: string): boolean {
  if (['1', 'true'].includes(text)) return true;
  if (['', '0', 'false'].includes(text)) return false;
  throw new UserError(`${name}: expected true or false, got ${text}`);
}

async function applyFile(command: Command, path: string): Promise<void> {
  for (const [name, value] of Object.entries(await readConfig(path))) {
    const option = command.options.find((each) => each.name() === name && name !== 'config');
    if (option === undefined) {
      const known = command.options.map((each) => each.name()).filter((each) => each !== 'config');
      throw new UserError(`${path}: unknown key "${name}"; known keys: ${known.join(', ')}`);
    }
    if (isUnset(command, option)) setValue(command, option, value, 'config', `${path}: ${name}`);
  }
}

function isUnset(command: Command, option: Option): boolean {
  const source = command.getOptionValueSource(option.attributeName());
  return source === undefined || source === 'default';
}

/** @param where whose fault a wrong value is, for people */
function setValue(command: Command, option: Option, value: unknown, source: 'env' | 'config', where: string): void {
  const key = option.attributeName();
  if (option.isBoolean() || option.negate) {
    if (typeof value !== 'boolean') throw new UserError(`${where}: expected true or false, got ${String(value)}`);
    // `no-refine: true` sets `refine` to false.
    command.setOptionValueWithSource(key, option.negate ? !value : value, source);
    return;
  }
  if (typeof value === 'boolean') throw new UserError(`${where}: expected a value, got ${value}`);
  const texts = (Array.isArray(value) ? value : [value]).map(String);
  try {
    for (const text of texts) {
      if (option.argChoices?.includes(text) === false)
        throw new InvalidArgumentError(`allowed: ${option.argChoices.join(', ')}`);
      const previous: unknown = command.getOptionValue(key);
      const isFirst = command.getOptionValueSource(key) !== source;
      // With choices, commander's own parser would only check them again.
      const parsed: unknown =
        option.parseArg === undefined || option.argChoices !== undefined
          ? text
          : (option.parseArg as (text: string, previous: unknown) => unknown)(text, isFirst ? undefined : previous);
      command.setOptionValueWithSource(key, parsed, source);
    }
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new UserError(`${where}: ${error.message}`);
    throw error;
  }
}

async function readConfig(path: string): Promise<Readonly<Record<string, unknown>>> {
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    if (statSync(path).size > MAX_CONFIG_BYTES) throw new Error('larger than 1 MiB');
    value = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UserError(
      `--config ${path}: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]!}`,
    );
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new UserError(`--config ${path}: expected "flag: value" lines`);
  return value as Readonly<Record<string, unknown>>;
}

/** Better said before minutes of work than after. @throws UserError where the file cannot be written */
export function checkWritable(flag: string, path: string): void {
  try {
    const isNew = !existsSync(path);
    closeSync(openSync(path, 'a'));
    if (isNew) unlinkSync(path);
  } catch (error) {
    throw new UserError(`${flag} ${path}: ${(error as Error).message}`);
  }
}

// ---- values ----------------------------------------------------------------------------------------------------------

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && value < Infinity)) throw new InvalidArgumentError('expected a number > 0.');
  return value;
}

export function openFraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError('expected a number between 0 and 1.');
  return value;
}

/** In (0, 1]. */
export function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('expected a number above 0 and up to 1.');
  return value;
}

export function nonNegativeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < Infinity)) throw new InvalidArgumentError('expected a number ≥ 0.');
  return value;
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('expected a whole number ≥ 1.');
  return Number(text);
}

/** Of a simulation: the first of several. */
export function seedNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number ≥ 0.');
  return Number(text);
}

/** Each may take the better part of a minute. */
const MOST_SEEDS = 1000;

export function seedCount(text: string): number {
  const count = positiveInteger(text);
  if (count > MOST_SEEDS) throw new InvalidArgumentError(`expected at most ${MOST_SEEDS}.`);
  return count;
}

/** 0 for any free port. */
export function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('expected a port, 0 to 65535.');
  return Number(text);
}

/** Cores, fractional → integer millicores. */
export function cores(text: string): number {
  const millicores = Math.round(positiveNumber(text) * 1000);
  if (millicores < 1) throw new InvalidArgumentError('expected at least 0.001 cores.');
  return millicores;
}

/** `x=1,3,48,320`, repeatable. */
export function shape(
  text: string,
  previous: Readonly<Record<string, readonly number[]>> = {},
): Readonly<Record<string, readonly number[]>> {
  const match = /^([^=]+)=(\d+(?:,\d+)*)$/.exec(text);
  const sizes = match?.[2]?.split(',').map(Number) ?? [];
  if (match === null || sizes.some((size) => size < 1 || !Number.isSafeInteger(size))) {
    throw new InvalidArgumentError('expected <input>=<size>,<size>,… such as x=1,3,48,320.');
  }
  return { ...previous, [match[1]!]: sizes };
}

/** `ocr=0.5`, of a model's name. */
export function floor(text: string, previous: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const match = /^([^=]+)=(\d*\.?\d+)$/.exec(text);
  const fraction = Number(match?.[2]);
  if (match === null || fraction > 1) {
    throw new InvalidArgumentError('expected <model>=<share of the cores, 0 to 1> such as ocr=0.5.');
  }
  return { ...previous, [match[1]!]: fraction };
}

/** `1,2,4`, ascending. */
export function threadCounts(text: string): readonly number[] {
  const counts = text.split(',').map(positiveInteger);
  return [...new Set(counts)].sort((a, b) => a - b);
}

/** For a flag that may be repeated. */
export function collected(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
}
