/*
 * Server reflection (grpc/doc/server-reflection.md): tools such as grpcurl learn the services from the server. The
 * descriptors are embedded in the code, so that no .proto file has to be found at run time. The two versions of the protocol differ
 * in their names alone.
 */
import { GRPC_CODE } from '../../../protocol/status.js';
import { decodeMessage, framed, replyToError, statusOf } from './answers.js';
import type { AnswerContext } from './answers.js';
import { DescriptorIndex } from './descriptor-index.js';
import { FILE_DESCRIPTOR_SET_BASE64 } from '../../../protocol/grpc/generated/descriptor-set.js';
import {
  ServerReflectionDefinition,
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../../protocol/grpc/generated/reflection.js';
import type { Method } from './call.js';
import { methodsOf } from './methods.js';
import type { StreamOpener } from './methods.js';

const V1_ALPHA = { ...ServerReflectionDefinition, fullName: 'grpc.reflection.v1alpha.ServerReflection' } as const;

/** Answers of one stream that its client has not read; no further question is read beyond. */
const MAX_UNREAD_ANSWERS = 16;

export function reflectionMethods(context: AnswerContext): (readonly [path: string, method: Method])[] {
  const index = new DescriptorIndex(Buffer.from(FILE_DESCRIPTOR_SET_BASE64, 'base64'));
  const serverReflectionInfo: StreamOpener = (call) => {
    let unreadCount = 0;
    return {
      onMessage({ bytes }) {
        let request: ServerReflectionRequest;
        try {
          request = decodeMessage(ServerReflectionRequest, bytes);
        } catch (error) {
          call.fail(statusOf(replyToError(error, context), context.intake));
          return;
        }
        call.handOver(bytes.length);
        unreadCount += 1;
        if (unreadCount >= MAX_UNREAD_ANSWERS) call.hold();
        const answer = { validHost: request.host, originalRequest: request, messageResponse: answerTo(request, index) };
        call.send([framed(ServerReflectionResponse, answer)], () => {
          unreadCount -= 1;
          call.release();
        });
      },
      onHalfClose() {
        call.succeed();
      },
    };
  };
  return [ServerReflectionDefinition, V1_ALPHA].flatMap((service) => methodsOf(service, { serverReflectionInfo }));
}

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** What is not there is an answer of its own, and the stream goes on. */
function answerTo({ messageRequest: asked }: ServerReflectionRequest, index: DescriptorIndex): Answer {
  switch (asked?.$case) {
    case 'listServices':
      return { $case: 'listServicesResponse', value: { service: index.services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return filesOrError(index.filesOf(asked.value), `there is no file '${asked.value}'`);
    case 'fileContainingSymbol':
      return filesOrError(index.filesWith(asked.value), `there is no symbol '${asked.value}'`);
    case 'fileContainingExtension':
      return notFound(`there are no extensions of '${asked.value.containingType}'`);
    case 'allExtensionNumbersOfType':
      return notFound(`there are no extensions of '${asked.value}'`);
    case undefined:
      return errorAnswer(GRPC_CODE.INVALID_ARGUMENT, 'nothing was asked for');
  }
}

function filesOrError(files: readonly Uint8Array[] | null, otherwise: string): Answer {
  if (files === null) return notFound(otherwise);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: files.map((file) => Buffer.from(file)) } };
}

function notFound(errorMessage: string): Answer {
  return errorAnswer(GRPC_CODE.NOT_FOUND, errorMessage);
}

function errorAnswer(errorCode: number, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
