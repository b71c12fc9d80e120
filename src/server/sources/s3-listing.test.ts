import { describe, expect, it } from 'vitest';
import { parseErrorAnswer, parseListing } from './s3-listing.js';

const object = (key: string, size = '3', etag = '&quot;e&quot;'): string =>
  `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>${etag}</ETag><Size>${size}</Size></Contents>`;
const listing = (inner: string): string =>
  `<?xml version="1.0"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>${inner}</ListBucketResult>`;

describe('a listing', () => {
  it('has keys, sizes and tags, and where it goes on', () => {
    const xml = listing(
      `<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType><NextContinuationToken>a&amp;b=</NextContinuationToken>` +
        object('m/a+b%2Bc%C3%BC.onnx', '12') +
        object('m/x', '0', '&#34;f-2&#34;'),
    );
    expect(parseListing(xml)).toEqual({
      continuation: 'a&b=',
      objects: [
        { key: 'm/a b+cü.onnx', bytes: 12, etag: '"e"' },
        { key: 'm/x', bytes: 0, etag: '"f-2"' },
      ],
    });
  });

  it('of a server that does not encode has the keys themselves', () => {
    expect(parseListing(listing(object('a+b %41 &lt;&#x4e2d;&gt;'))).objects[0]!.key).toBe('a+b %41 <中>');
    // A key is no setting.
    expect(parseListing(listing(object('EncodingType>url'))).objects[0]!.key).toBe('EncodingType>url');
  });

  it('may be empty, and ends where it is not truncated', () => {
    expect(
      parseListing(listing('<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>')),
    ).toEqual({
      objects: [],
      continuation: null,
    });
  });

  it.each([
    '',
    '<html></html>',
    listing(object('a', '-1')),
    listing(object('a', 'x')),
    listing('<Contents><Size>1</Size></Contents>'),
  ])('is not: %j', (xml) => expect(() => parseListing(xml)).toThrow('no listing'));
});

describe('an error', () => {
  it('has a code and what is said of it', () => {
    const xml = '<Error><Code>NoSuchKey</Code><Message>It &quot;is&quot; not there</Message></Error>';
    expect(parseErrorAnswer(xml)).toEqual({ code: 'NoSuchKey', message: 'It "is" not there' });
    expect(parseErrorAnswer('<html>')).toBeNull();
  });
});
