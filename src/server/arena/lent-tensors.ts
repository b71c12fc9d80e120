import type { Tensor } from '../../scheduler/domain/tensor.js';

/** For whoever may read them at any time: copies in memory of their own of those that are lent, which are given back. */
export function keptTensors(tensors: readonly Tensor[]): Tensor[] {
  return tensors.map((tensor) => {
    const { name, datatype, shape, data, lease } = tensor;
    if (lease === undefined) return tensor;
    const copy = new Uint8Array(Buffer.allocUnsafeSlow(data.byteLength).buffer);
    copy.set(data);
    lease.release();
    return { name, datatype, shape, data: copy };
  });
}
