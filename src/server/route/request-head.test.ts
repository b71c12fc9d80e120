import { describe, expect, it } from 'vitest';
import { readHead, type RequestHead } from './request-head.js';

function read(headers: Readonly<Record<string, string>>): RequestHead {
  return readHead((name) => headers[name]);
}

function rest(path: string, headers: Readonly<Record<string, string>> = {}): RequestHead {
  return read({ ':method': 'POST', ':path': path, ...headers });
}

function grpc(headers: Readonly<Record<string, string>> = {}, method = 'ModelInfer'): RequestHead {
  const path = `/inference.GRPCInferenceService/${method}`;
  return read({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc+proto', ...headers });
}

const NOTHING = { version: null, budgetMs: null, inputBytes: null };

describe('the head of a REST call', () => {
  it('names model and version in its path', () => {
    expect(rest('/v2/models/ocr/infer').request).toEqual({ ...NOTHING, model: 'ocr' });
    expect(rest('/v2/models/ocr/versions/12/infer?x=1').request).toEqual({ ...NOTHING, model: 'ocr', version: '12' });
    expect(rest('/v2/models/a%20b/infer/').request).toMatchObject({ model: 'a b' });
  });

  it.each([
    '/v2/models/ocr',
    '/v2/models/ocr/ready',
    '/v2/models/a/b/infer',
    '/v2/models/%zz/infer',
    '/v2/models/ocr/versions/one/infer',
    '/v2/repository/index',
  ])('is of no inference: %s', (path) => {
    expect(rest(path)).toEqual({ isGrpc: false, request: null });
  });

  it('is of none with another method', () => {
    expect(read({ ':method': 'GET', ':path': '/v2/models/ocr/infer' }).request).toBeNull();
  });

  it('states the tightest budget; a malformed one is for the server to refuse', () => {
    const headers = { 'request-timeout-ms': '300', 'x-envoy-expected-rq-timeout-ms': '250.5' };
    expect(rest('/v2/models/m/infer', headers).request?.budgetMs).toBe(250.5);
    expect(rest('/v2/models/m/infer', { ...headers, 'request-timeout-ms': 'soon' }).request?.budgetMs).toBeNull();
  });

  it('tells the size of its inputs where they are bytes', () => {
    const binary = { 'content-length': '4200', 'inference-header-content-length': '200' };
    expect(rest('/v2/models/m/infer', binary).request?.inputBytes).toBe(4000);
    expect(rest('/v2/models/m/infer', { ...binary, 'content-encoding': 'gzip' }).request?.inputBytes).toBeNull();
    expect(rest('/v2/models/m/infer', { 'content-length': '4200' }).request?.inputBytes).toBeNull();
    expect(rest('/v2/models/m/infer', { ...binary, 'content-length': '100' }).request?.inputBytes).toBeNull();
    expect(rest('/v2/models/m/infer', { ...binary, 'content-length': 'x' }).request?.inputBytes).toBeNull();
  });
});

describe('the head of a gRPC call', () => {
  it('names the model where its client says it', () => {
    expect(grpc()).toEqual({ isGrpc: true, request: { ...NOTHING, model: null } });
    expect(grpc({ 'x-sponge-model': 'a', 'mm-model': 'b', 'x-sponge-model-version': '2' }).request).toEqual({
      ...NOTHING,
      model: 'a',
      version: '2',
    });
    expect(grpc({ 'mm-model': 'b' }).request).toMatchObject({ model: 'b', version: null });
    expect(grpc({ 'x-gateway-model-name': 'c' }).request).toMatchObject({ model: 'c' });
  });

  it('states its budget as gRPC does', () => {
    expect(grpc({ 'grpc-timeout': '2S', 'request-timeout-ms': '1500' }).request?.budgetMs).toBe(1500);
    expect(grpc({ 'grpc-timeout': '250m' }).request?.budgetMs).toBe(250);
    expect(grpc({ 'grpc-timeout': '0m' }).request?.budgetMs).toBeNull();
  });

  it('of a stream of requests says nothing of any of them', () => {
    expect(grpc({ 'x-sponge-model': 'a' }, 'ModelStreamInfer')).toEqual({ isGrpc: true, request: null });
  });
});
