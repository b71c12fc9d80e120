import { describe, expect, it } from 'vitest';
import { policySaid, safeFiles, withoutOldVersions } from './wanted-files.js';

const files = (...paths: string[]): { path: string; bytes: number }[] => paths.map((path) => ({ path, bytes: 1 }));
const pathsOf = (all: readonly { readonly path: string }[]): string[] => all.map(({ path }) => path);

describe('files of a listing', () => {
  it('never lead out of their folder, nor are they a folder and a file at once', () => {
    const { files: safe, leftOut } = safeFiles(
      files(
        'a/model.onnx',
        '../up.onnx',
        'a/../../up',
        '/etc/passwd',
        'a//b',
        'b\\..\\c',
        'n\u0000l',
        'c',
        'c/d',
        'x'.repeat(256),
      ),
    );
    expect(pathsOf(safe)).toEqual(['a/model.onnx', 'c/d']);
    expect(pathsOf(leftOut)).toHaveLength(8);
    expect(leftOut.find(({ path }) => path === 'a/../../up')?.reason).toBe('its name would lead out of its folder');
    expect(leftOut.find(({ path }) => path === 'c')?.reason).toBe('there is a folder of the same name');
  });

  it('are left out without a word where a repository does not look at them', () => {
    expect(safeFiles(files('a/', '.git/config', 'a/.keep', ''))).toEqual({ files: [], leftOut: [] });
  });

  it('are bounded in depth', () => {
    const { leftOut } = safeFiles(files(Array(17).fill('d').join('/')));
    expect(leftOut[0]!.reason).toBe('more than 16 folders deep');
  });
});

describe('versions', () => {
  const listed = files(
    'm/model.yaml',
    'm/1/model.onnx',
    'm/2/model.onnx',
    'm/10/model.onnx',
    'm/10/w.bin',
    'm/11/notes',
    'n/model.onnx',
    'k.onnx',
  );

  it('that are not served are not fetched: of a model of which nothing is said, all but the highest that has a model', () => {
    expect(pathsOf(withoutOldVersions(listed, () => policySaid(undefined)))).toEqual([
      ...['m/model.yaml', 'm/10/model.onnx', 'm/10/w.bin', 'n/model.onnx', 'k.onnx'],
    ]);
  });

  it('are fetched as its settings say, and all where they say what is not understood', () => {
    const versions = (said: unknown): string[] =>
      pathsOf(withoutOldVersions(listed, (folder) => (folder === 'm' ? policySaid(said) : null))).filter((path) =>
        path.endsWith('model.onnx'),
      );
    expect(versions({ latest: 2 })).toEqual(['m/2/model.onnx', 'm/10/model.onnx', 'n/model.onnx']);
    expect(versions({ specific: [1, '10'] })).toEqual(['m/1/model.onnx', 'm/10/model.onnx', 'n/model.onnx']);
    for (const said of ['all', { newest: 1 }, 3, null, { latest: 0 }])
      expect(versions(said), JSON.stringify(said)).toEqual([
        'm/1/model.onnx',
        'm/2/model.onnx',
        'm/10/model.onnx',
        'n/model.onnx',
      ]);
  });

  it('may lie at the place itself', () => {
    expect(
      pathsOf(withoutOldVersions(files('1/model.onnx', '2/model.onnx', 'labels.txt'), () => policySaid(undefined))),
    ).toEqual([...['2/model.onnx', 'labels.txt']]);
  });
});
