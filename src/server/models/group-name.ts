import { createHash } from 'node:crypto';

/**
 * CPU groups have plainer names than models may have; what was changed or cut is told apart by a hash. So is what looks like
 * another model's replica: the group of one has its model's name and `-r<number>`, for which four of the 64 characters that
 * a name may have are left.
 */
export function groupNameOf(prefix: string, model: string): string {
  const plain = `${prefix}-${model}`;
  if (/^[\w.-]{1,60}$/.test(plain) && !/-r\d+$/.test(plain)) return plain;
  const hash = createHash('sha256').update(model).digest('hex').slice(0, 8);
  return `${prefix}-${model.replaceAll(/[^\w.-]/g, '_').slice(0, 24)}-${hash}`;
}
