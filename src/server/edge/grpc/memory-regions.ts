/* Triton's shared memory extensions: no regions, and none can be registered. */
import { refuseRegion, refuseUnknownRegion } from '../memory-regions.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

export function sharedMemoryHandlers(context: AnswerContext) {
  return {
    systemSharedMemoryStatus: unary(context, METHODS.systemSharedMemoryStatus, ({ name }) => {
      refuseUnknownRegion('system', name);
      return { regions: {} };
    }),
    systemSharedMemoryRegister: unary(context, METHODS.systemSharedMemoryRegister, () => refuseRegion('system')),
    systemSharedMemoryUnregister: unary(context, METHODS.systemSharedMemoryUnregister, () => ({})),
    cudaSharedMemoryStatus: unary(context, METHODS.cudaSharedMemoryStatus, ({ name }) => {
      refuseUnknownRegion('cuda', name);
      return { regions: {} };
    }),
    cudaSharedMemoryRegister: unary(context, METHODS.cudaSharedMemoryRegister, () => refuseRegion('cuda')),
    cudaSharedMemoryUnregister: unary(context, METHODS.cudaSharedMemoryUnregister, () => ({})),
  };
}
