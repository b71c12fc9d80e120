import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { scenarioSchema, type Scenario } from './schema.js';

/*
 * From YAML text and `--set key=value` to a scenario. Whatever is wrong is one line: where, what, and what would be right.
 */

/** @throws Error, one line   @param name of the file, for messages   @param settings `key.path=value`, in order */
export function parseScenario(text: string, name: string, settings: readonly string[] = []): Scenario {
  const value = withSettings(parseYaml(text, name), settings);
  const parsed = scenarioSchema.safeParse(value);
  if (!parsed.success) throw new Error(`${name}: ${issueText(parsed.error.issues[0]!, value)}`);
  checkTogether(parsed.data, name);
  return parsed.data;
}

function parseYaml(text: string, name: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    const cause = error instanceof YAMLParseError ? error.message.split('\n')[0]! : String(error);
    throw new Error(`${name}: not valid YAML: ${cause}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`${name}: expected "key: value" lines such as "durationSec: 600"`);
  }
  return value as Record<string, unknown>;
}

// ---- settings --------------------------------------------------------------------------------------------------------

function withSettings(scenario: Record<string, unknown>, settings: readonly string[]): Record<string, unknown> {
  const result = structuredClone(scenario);
  const seen = new Set<string>();
  for (const setting of settings) {
    const separator = setting.indexOf('=');
    if (separator < 1) throw new Error(`--set ${setting}: expected key=value, such as arrivals.ratePerSec=30`);
    const key = setting.slice(0, separator);
    assign(result, key, settingValue(setting.slice(separator + 1)), seen.has(key));
    seen.add(key);
  }
  return result;
}

/** As YAML would read it: numbers, true and false, [lists]; text otherwise. */
function settingValue(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
}

/** A name, or the index of a list's entry. */
const KEY = /^(?:[A-Za-z]\w*|\d+)$/;

/** A key that is set again collects its values into a list: several logs. */
function assign(target: Record<string, unknown>, key: string, value: unknown, isAgain: boolean): void {
  const path = key.split('.');
  if (!path.every((name) => KEY.test(name)))
    throw new Error(`--set ${key}: not a key; expected name.name, such as network.log`);
  let node: Record<string, unknown> = target;
  for (const name of path.slice(0, -1)) {
    const next = Object.hasOwn(node, name) ? node[name] : {};
    if (typeof next !== 'object' || next === null)
      throw new Error(`--set ${key}: ${name} is a value and has no keys of its own`);
    node[name] = next;
    node = next as Record<string, unknown>;
  }
  const last = path.at(-1)!;
  node[last] = isAgain ? [node[last], value].flat() : value;
}

// ---- messages --------------------------------------------------------------------------------------------------------

function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  const place = placeOf(issue.path);
  const at = place === '' ? '' : `${place}: `;
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(scenarioSchema, issue.path, value);
    return `${at}unknown key "${issue.keys[0]!}"; known keys: ${known.join(', ')}`;
  }
  if (issue.code === 'invalid_union' && issue.path.at(-1) === 'kind') {
    return `${at}give one of ${arrivalKinds().join(', ')}`;
  }
  const given = valueAt(value, issue.path);
  return `${at}${given === undefined ? 'is missing: ' : ''}${issue.message}`;
}

/** ['payloads', 0, 'bytes'] → "payloads[0].bytes". */
function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, key) => {
    if (typeof key === 'number') return `${place}[${key}]`;
    return place === '' ? String(key) : `${place}.${String(key)}`;
  }, '');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (node, key) =>
      typeof node === 'object' && node !== null ? (node as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

/** Of the object schema at a path; a union is entered by the kind that was given. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], value: unknown): string[] {
  let node: z.ZodType = unwrapped(schema, value);
  path.forEach((key, depth) => {
    const here = valueAt(value, path.slice(0, depth + 1));
    if (node instanceof z.ZodObject) node = unwrapped(node.shape[key as string] as z.ZodType, here);
    else if (node instanceof z.ZodArray) node = unwrapped(node.element as z.ZodType, here);
  });
  return node instanceof z.ZodObject ? Object.keys(node.shape) : [];
}

function unwrapped(schema: z.ZodType, value: unknown): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return unwrapped(schema.unwrap() as z.ZodType, value);
  }
  if (schema instanceof z.ZodDiscriminatedUnion) {
    const kind = (value as { kind?: unknown } | undefined)?.kind;
    const option = (schema.options as readonly z.ZodObject[]).find((each) => literalOf(each) === kind);
    return option ?? schema;
  }
  return schema;
}

function arrivalKinds(): string[] {
  const { arrivals } = scenarioSchema.shape;
  return arrivals.options.map((option) => String(literalOf(option)));
}

function literalOf(option: z.ZodObject): unknown {
  return (option.shape['kind'] as z.ZodLiteral).value;
}

// ---- what one key says of another ------------------------------------------------------------------------------------

/** Of generated bandwidth, one number a second: 400 MB. */
const MOST_TRACE_SECONDS = 20_000_000;

function checkTogether(scenario: Scenario, name: string): void {
  const { network, arrivals, durationSec, models, variants, load, cpu, pipeline } = scenario;
  const sharing = models ?? variants;
  if (load !== undefined && sharing === undefined)
    throw new Error(`${name}: load is of several models; without any, set the rate of arrivals`);
  if (models !== undefined && variants !== undefined)
    throw new Error(`${name}: it has models and variants; give one of the two`);
  if (pipeline !== undefined) {
    if (models === undefined) throw new Error(`${name}: models is missing: say what the models of the pipeline take`);
    if ((pipeline.file === undefined) === (pipeline.description === undefined))
      throw new Error(`${name}: pipeline: give either a file, such as pipeline.yaml, or a description`);
  }
  if (sharing !== undefined) {
    const names = sharing.map((each) => each.name);
    const repeated = names.find((each, index) => names.indexOf(each) !== index);
    const kind = models === undefined ? 'variants' : 'models';
    if (repeated !== undefined) throw new Error(`${name}: ${kind}: ${repeated} is there twice; give each its own name`);
    if (cpu.maxCores === undefined)
      throw new Error(`${name}: cpu.maxCores is missing: with several models it says what they share`);
  }
  if (arrivals.kind === 'diurnal' && arrivals.minRatePerSec > arrivals.maxRatePerSec) {
    throw new Error(`${name}: arrivals.minRatePerSec is above arrivals.maxRatePerSec; swap them`);
  }
  const traceSeconds = network.clients * durationSec;
  if (network.log === undefined && network.mode !== 'none' && traceSeconds > MOST_TRACE_SECONDS) {
    throw new Error(
      `${name}: network.clients × durationSec is ${traceSeconds}, which is more bandwidth than fits into memory; ` +
        `stay below ${MOST_TRACE_SECONDS}, or give a network.log`,
    );
  }
  if (network.mode === 'none' && (network.log !== undefined || network.fades !== undefined)) {
    throw new Error(`${name}: network.mode is none, so a log or fades would do nothing; set network.mode to applied`);
  }
  if (network.log !== undefined && network.fades !== undefined) {
    throw new Error(`${name}: network.fades belong to the generated series; leave them out with a log`);
  }
  if (arrivals.kind === 'rates' && (arrivals.file === undefined) === (arrivals.ratesPerSec === undefined)) {
    throw new Error(`${name}: arrivals of kind rates need either a file or ratesPerSec`);
  }
}
