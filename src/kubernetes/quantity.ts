/*
 * CPU as Kubernetes writes it ("1500m", "1.5", "2") and as the rest of Sponge counts it: whole millicores.
 * Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go.
 */

/** Of one core, in millicores. */
const SUFFIX_MILLICORES: Readonly<Record<string, number>> = { n: 1e-6, u: 1e-3, m: 1, '': 1000, k: 1e6 };

/** Integer, rounded up as Kubernetes does; null for what is no amount of CPU. */
export function millicoresOf(quantity: string | number | undefined): number | null {
  const match = /^(\d*\.?\d+|\d+\.)(?:e([+-]?\d{1,2})|([numk]?))$/i.exec(String(quantity ?? ''));
  if (match === null) return null;
  const [, digits, exponent, suffix = ''] = match;
  const factor = exponent === undefined ? SUFFIX_MILLICORES[suffix] : 1000 * 10 ** Number(exponent);
  if (factor === undefined) return null;
  // 0.29 × 1000 is 290.00000000000006 in binary: what is that near to a whole number is that number.
  const millicores = Number(digits) * factor;
  return Math.abs(millicores - Math.round(millicores)) < 1e-6 ? Math.round(millicores) : Math.ceil(millicores);
}

/** As the API server would write it back. @param millicores integer ≥ 0 */
export function cpuQuantity(millicores: number): string {
  return millicores % 1000 === 0 ? String(millicores / 1000) : `${millicores}m`;
}
