/*
 * `sponge-inference/client`: sends requests, each with its deadline, to a server of the Open Inference Protocol.
 */
export { Client, InferenceError, Unreachable } from './client/rest-client.js';
export type { AnswerHeader, ClientOptions, InferAnswer, InferCall, ModelDescription } from './client/rest-client.js';
export type { ClientTls } from './client/http.js';
export { numbersOf, tensorOf } from './client/numbers.js';
export type { Numbers, NumberType } from './client/numbers.js';
export type { Datatype, Tensor, TensorSpec } from './domain/tensor.js';
