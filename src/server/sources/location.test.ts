import { describe, expect, it } from 'vitest';
import { isElsewhere } from './elsewhere.js';
import { parseLocation } from './location.js';

const SUM = 'ab'.repeat(32);

describe('a place', () => {
  it('is elsewhere where it has a scheme, and on this machine where it has none', () => {
    for (const text of ['https://h/m.onnx', 'hf://a/b/m.onnx', 's3://b', 'gs://b/m', 'HTTPS://h/m.onnx'])
      expect(isElsewhere(text), text).toBe(true);
    for (const text of ['m.onnx', './s3:/b', '/models', 'C:\\models', 'npm:a/b.onnx'])
      expect(isElsewhere(text), text).toBe(false);
  });

  it('on the web is one file; what is secret in it is not shown', () => {
    const place = parseLocation(
      `https://ann:p%40ss@h.example:8443/a/de%20tector.onnx?sig=secret#sha256=${SUM.toUpperCase()}`,
    );
    expect(place).toMatchObject({
      kind: 'web',
      title: 'https://h.example:8443/a/de%20tector.onnx',
      root: 'de tector.onnx',
      sha256: SUM,
      authorization: `Basic ${Buffer.from('ann:p@ss').toString('base64')}`,
    });
    expect(place.kind === 'web' && place.url.href).toBe('https://h.example:8443/a/de%20tector.onnx?sig=secret');
  });

  it('at Hugging Face is one file of a repository, of a revision if one is given', () => {
    const main = parseLocation('hf://org/na.me-1/onnx/model.onnx');
    expect(main).toMatchObject({
      kind: 'hub',
      repository: 'org/na.me-1',
      revision: 'main',
      file: 'onnx/model.onnx',
      root: 'model.onnx',
    });
    const pull = parseLocation('hf://org/name@refs%2Fpr%2F1/model.onnx');
    expect(pull).toMatchObject({ repository: 'org/name', revision: 'refs/pr/1', file: 'model.onnx' });
  });

  it.each([
    ['s3://bucket', { key: '', isFile: false, root: 'bucket' }],
    ['s3://bucket/', { key: '', isFile: false, root: 'bucket' }],
    ['s3://bucket/a/models', { key: 'a/models/', isFile: false, root: 'models' }],
    ['s3://bucket/a/models//', { key: 'a/models/', isFile: false, root: 'models' }],
    ['s3://my.bucket/a/m.onnx', { key: 'a/m.onnx', isFile: true, root: 'm.onnx', bucket: 'my.bucket' }],
    ['s3://bucket/odd.onnx/', { key: 'odd.onnx/', isFile: false, root: 'odd.onnx' }],
  ])('%s is an object or a folder', (text, expected) => {
    expect(parseLocation(text)).toMatchObject({ kind: 'bucket', ...expected });
  });

  it.each([
    ['gs://bucket/m.onnx', /^gs:\/\/ is not known; use https:.*hf:.*s3:/],
    ['https://h/archive.zip', /does not end in \.onnx: name the model's file/],
    ['https://u:secret@h/m.onnx#md5=1', /^https:\/\/h\/m\.onnx: after # stands sha256=/],
    ['https://h:port/m.onnx', /is no URL/],
    ['https://h/%2e%2e%2fm.onnx', /has a character that no name of a file has/],
    ['hf://org/m.onnx', /is not hf:\/\/org\/name/],
    ['hf://org/name/config.json', /does not end in \.onnx/],
    ['hf://org/name/../m.onnx', /would lead out of its folder/],
    ['s3:///m.onnx', /"" is no bucket's name/],
    ['s3://b_/x', /is no bucket's name/],
    ['s3://bucket/a/..', /would lead out/],
    [`s3://bucket/models#sha256=${SUM}`, /is of one file; a folder has many/],
  ])('%s is refused in one line that says what to write', (text, message) => {
    expect(() => parseLocation(text)).toThrow(message);
    try {
      parseLocation(text);
    } catch (error) {
      expect((error as Error).message).not.toMatch(/secret|\n/);
    }
  });
});
