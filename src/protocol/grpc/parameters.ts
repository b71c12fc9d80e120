/* Parameter values of the core → `InferParameter`; infer-decoder.ts reads them. */
import type { ParameterValue } from '../service.js';
import type { InferParameter } from './generated/open_inference.js';

/** Integers as int64, text and booleans where they fit: the protocols of KServe and MLServer know no other types. */
export function inferParameters(values: Readonly<Record<string, ParameterValue>>): Record<string, InferParameter> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { parameterChoice: choiceOf(value) }]),
  );
}

function choiceOf(value: ParameterValue): NonNullable<InferParameter['parameterChoice']> {
  if (typeof value === 'boolean') return { $case: 'boolParam', value };
  if (typeof value === 'string') return { $case: 'stringParam', value };
  return Number.isSafeInteger(value) ? { $case: 'int64Param', value } : { $case: 'doubleParam', value };
}
