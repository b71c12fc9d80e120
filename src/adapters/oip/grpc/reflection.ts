/*
 * Server reflection (grpc/doc/server-reflection.md): tools such as grpcurl learn the services from the server. The
 * descriptors are embedded in the code, so that no .proto file has to be found at run time.
 */
import type { Server } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { FILE_DESCRIPTOR_SET_BASE64 } from './generated/descriptor-set.js';

export function addReflection(server: Server): void {
  const definitions = loadFileDescriptorSetFromBuffer(Buffer.from(FILE_DESCRIPTOR_SET_BASE64, 'base64'));
  new ReflectionService(definitions).addToServer(server);
}
