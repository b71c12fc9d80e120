/*
 * A worker's own memory limit, and how it is told that it was hit. RLIMIT_DATA (getrlimit(2)): private memory that can be written to, whether
 * or not it has been touched, thread stacks and reserves included, but not the model's files where they are mapped, nor shared pages. Beyond it
 * the kernel refuses a worker more: mostly the run fails that asked for it, and the worker lives on; where nobody expected a refusal the
 * process ends.
 *
 * Rejected: RLIMIT_AS, which counts what V8 and ONNX Runtime only reserve, some gigabytes; RLIMIT_RSS, which Linux ignores; a memory cgroup: with
 * version 2 it cannot limit a process whose threads are in groups of their own, as they are here.
 */

const MIB = 1024 ** 2;

/** What the C++ library (ONNX Runtime's messages hold its), ONNX Runtime's arena, Node and V8 say. */
const REFUSALS =
  /bad_alloc|bad allocation|failed to allocate memory|allocation failed|out of memory|cannot allocate memory|ENOMEM/i;

/** The same, with the reason said plainly where a limit stands and the message tells of a refusal. */
export function explained(message: string, limitBytes: number | null): string {
  if (limitBytes === null || !isRefusal(message)) return message;
  return `out of its memory limit of ${Math.floor(limitBytes / MIB)} MiB (--worker-memory-mib): ${message}`;
}

export function isRefusal(message: string): boolean {
  return REFUSALS.test(message);
}
