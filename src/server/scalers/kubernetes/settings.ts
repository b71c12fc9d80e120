/** As given on the command line. */
export interface KubernetesSettings {
  /** `<namespace>/<name>`; null: this pod. */
  readonly pod: string | null;
  readonly container: string | null;
  /** `follow`: the request moves with the limit. */
  readonly requests: 'keep' | 'follow';
  /** Whether each model and instance has a quota of its own inside the limit. */
  readonly inner: 'auto' | 'none';
  /** The container's own cgroup; null: as /proc says. */
  readonly cgroupDirectory: string | null;
  readonly resizesPerSecond: number;
  /** Who moves the limit: we ask for what we need, or it is only followed. */
  readonly resizer: 'self' | 'others';
}

export const DEFAULT_SETTINGS: KubernetesSettings = {
  pod: null,
  container: null,
  requests: 'keep',
  inner: 'auto',
  cgroupDirectory: null,
  resizesPerSecond: 1,
  resizer: 'self',
};
