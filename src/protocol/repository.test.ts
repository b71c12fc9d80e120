import { describe, expect, it } from 'vitest';
import { assertMayChangeModels, checkLoadParameters, checkUnloadParameters } from './repository.js';

describe('loading and unloading', () => {
  it('is for this machine, or for who shows a token', () => {
    expect(() => assertMayChangeModels({ isPrivate: true, tokens: null })).not.toThrow();
    expect(() => assertMayChangeModels({ isPrivate: false, tokens: {} })).not.toThrow();
    expect(() => assertMayChangeModels({ isPrivate: false, tokens: null })).toThrow('--auth-token-file');
  });

  it('takes Triton’s parameters, and no others', () => {
    expect(() => checkUnloadParameters(new Map([['unload_dependents', true]]))).not.toThrow();
    expect(() => checkUnloadParameters(new Map([['unload_dependents', 'yes']]))).toThrow('must be true or false');
    expect(() => checkUnloadParameters(new Map([['force', true]]))).toThrow("there is no parameter 'force'");
    expect(() => checkLoadParameters(new Map([['force', true]]))).toThrow("there is no parameter 'force'");
    expect(() => checkLoadParameters(new Map())).not.toThrow();
  });
});
