/** `name` or `name(key=value,…)`. */
export interface PolicySpec {
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const SPEC = /^([a-z][a-z0-9-]*)(?:\((.*)\))?$/;
const PARAMETER = /^([a-z][A-Za-z]*)=([\w.-]+)$/;

/** @throws Error, one line */
export function parsePolicySpec(text: string): PolicySpec {
  const match = SPEC.exec(text.trim());
  if (match === null)
    throw new Error(`policy "${text}": expected a name or name(key=value,…), such as static(cores=8)`);
  const parameters: Record<string, string> = {};
  for (const part of (match[2] ?? '').split(',').filter((each) => each.trim() !== '')) {
    const parameter = PARAMETER.exec(part.trim());
    if (parameter === null) throw new Error(`policy "${text}": expected key=value instead of "${part.trim()}"`);
    parameters[parameter[1]!] = parameter[2]!;
  }
  return { name: match[1]!, parameters };
}

/** At the commas that are not inside parentheses. */
export function splitPolicies(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = '';
  for (const character of text) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (character === ',' && depth === 0) {
      parts.push(part);
      part = '';
    } else part += character;
  }
  return [...parts, part].map((each) => each.trim()).filter((each) => each !== '');
}
