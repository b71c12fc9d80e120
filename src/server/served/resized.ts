import type { ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';

type Applied = Extract<ResizeResult, { kind: 'applied' }>;

/** Resolves when it is in force. @throws Error when the machine refuses */
export function resized(scaler: Scaler, cpuMillicores: number): Promise<Applied> {
  return new Promise((fulfil, reject) => {
    scaler.resize(cpuMillicores, (result) => {
      if (result.kind === 'applied') fulfil(result);
      else reject(new Error(result.message));
    });
  });
}
