/* What can be called, by path: the services as generated code has them, and who answers each of their methods. */
import type { UnaryHandler } from './answers.js';
import type { Call, Method, StreamHandler } from './call.js';

interface MethodDefinition {
  readonly name: string;
  readonly requestStream: boolean;
}

interface ServiceDefinition {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

/** Of a method that takes a stream: what opens one. */
export type StreamOpener = (call: Call) => StreamHandler;

/** A handler for each of a service's methods, by whether it takes one message or a stream of them. */
export type HandlersOf<Service extends ServiceDefinition> = {
  readonly [Name in keyof Service['methods']]: Service['methods'][Name]['requestStream'] extends true
    ? StreamOpener
    : UnaryHandler;
};

/** @returns by path, as calls name it */
export function methodsOf<Service extends ServiceDefinition>(
  service: Service,
  handlers: HandlersOf<Service>,
): (readonly [path: string, method: Method])[] {
  return Object.entries(service.methods).map(([key, { name, requestStream }]) => {
    const handler = handlers[key as keyof HandlersOf<Service>];
    const method: Method = requestStream
      ? { kind: 'stream', open: handler as StreamOpener }
      : { kind: 'unary', answer: handler };
    return [`/${service.fullName}/${name}`, method];
  });
}
