/*
 * What a server tells those who choose between several of it: how much room there is for one more request, by its deadline. Plain data, as
 * it goes over the wire. All durations are from the instant at which the report was made, ms.
 */

/**
 * Where one more request would stand that is due from `dueInMs` on (and before the next mark): behind everything that is due by then, and
 * before all that is due later. Of earliest-deadline-first queues that is all there is to know: it is met itself if it can start in
 * time, and everyone else still is if what it takes is no more than the least room of those behind it.
 */
export interface RoomMark {
  /** The first mark's is 0: before everyone who waits. */
  readonly dueInMs: number;
  /** One more could start then: the first instance is free of all that comes before. */
  readonly startInMs: number;
  /** Mean over the instances: all that comes before is done. */
  readonly doneInMs: number;
  /** By so much all who are due from here on may be put off before the first of them is late; negative where one is. Null: nobody is. */
  readonly roomMs: number | null;
}

/** Of one version of a model. A new request is taken to be like those of late. */
export interface ModelOutlook {
  /** It takes so long alone on all cores: surely, which is what it may be refused by, and as it is planned. */
  readonly leastMs: number;
  readonly aloneMs: number;
  /** That run batches side by side. */
  readonly instanceCount: number;
  /** Of the time of all instances, what one more takes in the batches that do most. */
  readonly requestMs: number;
  /** Ascending, at least one, `MOST_MARKS` at most. */
  readonly marks: readonly RoomMark[];
  /** Cores × seconds that the next second leaves, everything that waits once done. */
  readonly spareCoreSeconds: number;
}

export interface ModelReport extends ModelOutlook {
  readonly name: string;
  readonly version: string;
  /** Calls that name no version get it. */
  readonly isLatest: boolean;
  readonly isReady: boolean;
  /** Queued and running. */
  readonly heldRequests: number;
  /** Of a request that states no budget, which is served late rather than refused. */
  readonly defaultSloMs: number;
  /** Input bytes of a request as they have been of late; 0 before the first. */
  readonly requestBytes: number;
}

export interface PodReport {
  /** 1 for now; another number means that fields mean something else. */
  readonly schemaVersion: 1;
  /** It takes no new requests. */
  readonly isDraining: boolean;
  /** Where it speaks gRPC, on the host that this report is from. */
  readonly grpcPort: number;
  /** All that are served. */
  readonly models: readonly ModelReport[];
  /**
   * Of whoever reads these reports: which of the requests that it sent here, by its own numbers, have come since its last report. What
   * has come counts in `models`; what has not is still on its way.
   */
  readonly arrived: readonly number[];
  /** There were more than fit: whatever was sent before this report was made has come, or is to be taken to have. */
  readonly isArrivedCut: boolean;
}

/** A report is of bounded size however long the queue. */
export const MOST_MARKS = 16;
