import type { Logger } from 'pino';
import type { DoorSettings } from './doors/open-door.js';
import type { Compat } from '../protocol/status.js';
import type { TlsFiles } from './tls/certificate-files.js';
import type { TracingSettings } from './tracing/settings.js';
import type { StatedLimits } from './edge-limits.js';
import type { ControlChoice } from './models/model-control.js';
import type { ServedModelOptions } from './served/served-model-options.js';
import type { SpareMode } from './served/spares.js';

type ModelOptions = Pick<
  ServedModelOptions,
  | 'policy'
  | 'defaultSloMs'
  | 'scaler'
  | 'kubernetes'
  | 'instances'
  | 'instancesPerProcess'
  | 'maxMillicores'
  | 'minMillicores'
  | 'idleReleaseMs'
  | 'quotaPeriodUs'
  | 'workerUser'
  | 'workerMemoryBytes'
  | 'threadCounts'
  | 'maxBatchSize'
  | 'maxBatchBytes'
  | 'isMaxBatchStated'
  | 'shapes'
  | 'samplePaths'
  | 'batching'
  | 'isRefining'
  | 'profileFolder'
  | 'runLimits'
  | 'targetMissRate'
>;

/** Models that were fetched, and may be looked at again. */
export interface FetchedPlace {
  /** The folder or the file that holds them now. */
  readonly path: string;
  /**
   * Fetches what is new there.
   * @param used paths of models that are served: they stay where they are
   * @throws Error, in one line, where that fails; what there is stays
   */
  refresh(used: readonly string[]): Promise<void>;
  /** Nobody uses them any more. */
  close(): Promise<void>;
}

export interface ServerOptions extends ModelOptions {
  readonly path: string;
  /** Where models from elsewhere are on this machine; null: the path is there itself. */
  readonly fetched: FetchedPlace | null;
  readonly host: string;
  /** 0 for any free port; so for the others. */
  readonly port: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly doors: DoorSettings;
  /** That accept, read and write; 0: all is done by the thread that plans. */
  readonly ioThreads: number;
  readonly serverName: string;
  readonly groupName: string;
  /** Of all three ports; null: in clear. */
  readonly tls: TlsFiles | null;
  readonly limits: StatedLimits;
  /** Bytes null: by the memory there is. */
  readonly queueLimits: { readonly maxRequests: number; readonly maxBytes: number | null };
  readonly drainMs: number;
  /** By model, of the cores that models share: what it may have in a backlog before others get more. */
  readonly floorFractions: Readonly<Record<string, number>>;
  readonly spareMode: SpareMode;
  /** Which models are served after the start. */
  readonly control: ControlChoice;
  /** Of the model that the path is the file or the folder of; null: as that is called. */
  readonly modelName: string | null;
  /** One model that cannot be loaded ends the start. */
  readonly isStrict: boolean;
  readonly compat: Compat;
  /** Where every event goes once all models are up; null for nowhere. */
  readonly eventLogPath: string | null;
  /** Null: no spans are made. */
  readonly tracing: TracingSettings | null;
  readonly logger: Logger;
  /** What start-up is at; each message replaces the one before. */
  readonly onProgress: (message: string) => void;
  /** Gives up starting, with its reason; to be aborted only before `startServer` has resolved. */
  readonly interruption: AbortSignal;
}
