/*
 * `sponge-inference/client`: sends requests, each with its deadline, to a server of the Open Inference Protocol.
 */
export { Client, InferenceError, Unreachable } from './rest-client.js';
export type { AnswerHeader, ClientOptions, InferAnswer, InferCall, ModelDescription } from './rest-client.js';
export type { ClientTls } from './http.js';
export { numbersOf, tensorOf } from './numbers.js';
export type { Numbers, NumberType } from './numbers.js';
export type { Datatype, Tensor, TensorSpec } from '../../scheduler/domain/tensor.js';
