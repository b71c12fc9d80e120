import { describe, expect, it } from 'vitest';
import { assertMayChangeModels, sentModelIn, unloadsDependents } from './repository.js';

describe('loading and unloading', () => {
  it('is for this machine, or for who shows a token', () => {
    expect(() => assertMayChangeModels({ isPrivate: true, tokens: null })).not.toThrow();
    expect(() => assertMayChangeModels({ isPrivate: false, tokens: {} })).not.toThrow();
    expect(() => assertMayChangeModels({ isPrivate: false, tokens: null })).toThrow('--auth-token-file');
  });

  it('takes Triton’s parameters, and no others', () => {
    expect(unloadsDependents(new Map([['unload_dependents', true]]))).toBe(true);
    expect([unloadsDependents(new Map([['unload_dependents', false]])), unloadsDependents(new Map())]).toEqual([
      false,
      false,
    ]);
    expect(() => unloadsDependents(new Map([['unload_dependents', 'yes']]))).toThrow('must be true or false');
    expect(() => unloadsDependents(new Map([['force', true]]))).toThrow("there is no parameter 'force'");
    expect(sentModelIn(new Map())).toEqual({ config: null, files: new Map() });
    const bytes = Uint8Array.of(1, 2);
    expect(
      sentModelIn(
        new Map<string, unknown>([
          ['config', '{}'],
          ['file:1/model.onnx', bytes],
        ]),
      ),
    ).toEqual({
      config: '{}',
      files: new Map([['1/model.onnx', bytes]]),
    });
  });

  const ONE = Uint8Array.of(1);
  it.each<[Record<string, unknown>, string]>([
    [{ force: true }, "there is no parameter 'force' of this call; known: config, file:"],
    [{ config: {} }, 'config must be a string'],
    [{ config: '{}', 'file:1/model.onnx': 'text' }, 'file:1/model.onnx must be bytes'],
    [{ 'file:1/model.onnx': ONE }, 'files need a config beside them'],
    [{ config: '{}', 'file:../model.onnx': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:/etc/cron.d/x': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:1/../../x': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:.hidden': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:a/b/c/d/e': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:': ONE }, 'expected file:<version>/model.onnx'],
    [{ config: '{}', 'file:model.yaml': ONE }, "model.yaml is its operator's"],
    [
      { config: '{}', ...Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`file:1/${at}`, ONE])) },
      'at most 64 files, not 65',
    ],
  ])('refuses what is no model: %#', (parameters, message) => {
    expect(() => sentModelIn(new Map(Object.entries(parameters)))).toThrow(message);
  });
});
