import type { RecordedRun } from '../scheduler/domain/event-log.js';
import type { ModelRecord, RunHeader, RunModel } from '../scheduler/domain/event-record.js';
import { Board } from './board.js';
import { byId, make, setText } from './elements.js';
import { ago, elapsed, whole } from './format.js';
import { HeadlineTiles } from './headline-tiles.js';
import { headlineOf } from './headline.js';
import { knownRange } from './known-range.js';
import { LiveFeed } from './live-feed.js';
import { LiveRuns } from './live-runs.js';
import { listenForLogs } from './log-file.js';
import type { ModelState } from './model-state.js';
import { runOfLog, type RunState } from './run-state.js';
import { bindTheme } from './theme.js';
import { TimeView } from './time-view.js';
import type { Frame } from './time-chart.js';

/*
 * The page: where records come from (the live feed or an event log), which part of the run is looked at, and the loop that
 * shows it. Records are folded as they come; the loop alone touches the document.
 */

const WINDOWS: readonly (readonly [label: string, windowMs: number])[] = [
  ['10 s', 10_000],
  ['30 s', 30_000],
  ['60 s', 60_000],
  ['5 min', 300_000],
];
const DEFAULT_WINDOW_MS = 60_000;
/** Nobody reads numbers that change faster. */
const TELL_MS = 250;
/** Sorting five minutes of latencies takes some milliseconds. */
const TELL_WIDE_MS = 1_000;
const WIDE_MS = 120_000;
/** What is pointed at is expected to follow the hand. */
const TELL_POINTED_MS = 60;

type Connection = 'connecting' | 'live' | 'disconnected';

class Page {
  readonly #state = byId('state', HTMLElement);
  readonly #runText = byId('run', HTMLElement);
  readonly #windows = byId('windows', HTMLElement);
  readonly #pause = byId('pause', HTMLButtonElement);
  readonly #live = byId('live', HTMLButtonElement);
  readonly #models = byId('models', HTMLElement);
  readonly #problem = byId('problem', HTMLElement);
  readonly #main = byId('main', HTMLElement);
  readonly #empty = byId('empty', HTMLElement);
  readonly #emptyCommand = byId('empty-command', HTMLElement);
  readonly #footer = byId('footer', HTMLElement);
  readonly #tiles = new HeadlineTiles(byId('tiles', HTMLElement));
  readonly #board: Board;
  readonly #feed: LiveFeed;

  #connection: Connection = 'connecting';
  /** What is shown: of the feed, or of a log. */
  #run: RunState | null = null;
  readonly #liveRuns = new LiveRuns();
  /** A file that is being read. */
  #isReading = false;
  /** What is said of the log beside its number of records. */
  #logText = '';
  #modelIndex = 0;
  #view = new TimeView(DEFAULT_WINDOW_MS, null);
  /** What is pointed at, seconds since the run began. */
  #cursorSec: number | null = null;
  /** What text was written last, and when: of the range, and of the instant. */
  #toldAtMs = -Infinity;
  #toldOf = '';
  #toldInstantAtMs = -Infinity;
  #toldInstant = '';

  constructor() {
    this.#board = new Board(byId('cards', HTMLElement), {
      onCursor: (sec) => (this.#cursorSec = sec),
      onZoom: (fromSec, toSec) => this.#zoom(fromSec, toSec),
      onZoomOut: () => this.#change(() => this.#view.zoomOut()),
    });
    this.#feed = new LiveFeed('/events', {
      onRun: (header) => this.#beginLive(header),
      onRecords: (atMs, records) => this.#hear(atMs, records),
      onBreak: (problem) => this.#break(problem),
    });
    this.#bindControls();
    this.#feed.open();
    requestAnimationFrame(this.#onFrame);
  }

  // ---- where records come from -------------------------------------------------------------------------------------

  #beginLive(header: RunHeader): void {
    this.#connection = 'live';
    if (this.#liveRuns.begin(header, this.#view.isHeld)) this.#showLive();
  }

  /** After a break, or when a model has come or gone, whoever looked at one still does. */
  #showLive(): void {
    const run = this.#liveRuns.shown!;
    const name = this.#run?.header.models[this.#modelIndex]?.name;
    this.#show(run, new TimeView(this.#view.windowMs, null));
    this.#choose(
      Math.max(
        0,
        run.header.models.findIndex((model) => model.name === name && model.isGone !== true),
      ),
    );
  }

  #hear(atMs: number, records: readonly ModelRecord[]): void {
    this.#liveRuns.hear(atMs, records, performance.now());
  }

  #break(problem: string): void {
    this.#connection = 'disconnected';
    this.#state.title = problem;
    this.#toldAtMs = -Infinity;
  }

  #openLog(name: string, { header, records, droppedRecords }: RecordedRun): void {
    // First, because it may throw: then what was shown goes on.
    const run = runOfLog(header, records);
    this.#feed.close();
    this.#liveRuns.clear();
    this.#isReading = false;
    const missing = `, without ${whole(droppedRecords)} that its writer had to leave out`;
    this.#logText = `in ${name}${droppedRecords === 0 ? '' : missing}`;
    this.#show(run, new TimeView(DEFAULT_WINDOW_MS, { fromMs: header.startedAtMs, toMs: endOf(run) }));
    this.#choose(0);
  }

  #backToLive(): void {
    this.#run = null;
    this.#connection = 'connecting';
    this.#view = new TimeView(DEFAULT_WINDOW_MS, null);
    // The log's numbers are not those of the server.
    this.#main.classList.add('unknown');
    this.#models.replaceChildren();
    this.#tellControls();
    this.#feed.open();
  }

  #show(run: RunState, view: TimeView): void {
    this.#run = run;
    this.#view = view;
    this.#cursorSec = null;
    this.#problem.hidden = true;
    this.#main.classList.remove('unknown');
    this.#tellModels(run);
    this.#tellControls();
  }

  #complain(text: string): void {
    setText(this.#problem, text);
    this.#problem.hidden = false;
    this.#isReading = false;
    this.#toldAtMs = -Infinity;
  }

  // ---- what is looked at -------------------------------------------------------------------------------------------

  #bindControls(): void {
    const buttons = WINDOWS.map(([label, windowMs]) => {
      const button = make('button', { type: 'button', 'data-window': String(windowMs) }, label);
      button.addEventListener('click', () => this.#change(() => this.#view.setWindow(windowMs)));
      return button;
    });
    const all = make('button', { type: 'button', 'data-window': 'all' }, 'Whole run');
    all.addEventListener('click', () => this.#change(() => this.#view.zoomOut()));
    this.#windows.append(...buttons, all);
    this.#pause.addEventListener('click', () => this.#togglePause());
    this.#live.addEventListener('click', () => this.#backToLive());
    listenForLogs(byId('log-file', HTMLInputElement), {
      onReading: (name) => {
        this.#isReading = true;
        setText(this.#state, `reading ${name}`);
      },
      onLog: (name, run) => this.#openLog(name, run),
      onProblem: (text) => this.#complain(text),
    });
    bindTheme(byId('theme', HTMLButtonElement), () => this.#board.invalidate());
    document.addEventListener('keydown', (event) => {
      const isOnControl = event.target instanceof Element && event.target.closest('button, a, input, label') !== null;
      if (isOnControl || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'Escape') this.#change(() => this.#view.zoomOut());
      if (event.key !== ' ') return;
      event.preventDefault();
      this.#togglePause();
    });
  }

  #togglePause(): void {
    this.#change(() => this.#view.togglePause(this.#shownMs()));
    if (!this.#view.isLog && !this.#view.isHeld && this.#liveRuns.catchUp()) this.#showLive();
  }

  #zoom(fromSec: number, toSec: number): void {
    const originMs = this.#run?.header.startedAtMs ?? 0;
    const range = { fromMs: originMs + fromSec * 1000, toMs: originMs + toSec * 1000 };
    this.#change(() => this.#view.zoom(range, this.#shownMs()));
  }

  #choose(index: number): void {
    this.#modelIndex = index;
    for (const [each, button] of [...this.#models.children].entries()) {
      button.setAttribute('aria-pressed', String(each === index));
    }
    this.#change(() => undefined);
  }

  /** Whatever changes what is shown: everything is drawn and told anew. */
  #change(change: () => void): void {
    change();
    this.#toldAtMs = -Infinity;
    this.#toldInstantAtMs = -Infinity;
    this.#toldOf = this.#toldInstant = '';
    this.#board.invalidate();
    this.#tellControls();
  }

  // ---- the loop ----------------------------------------------------------------------------------------------------

  readonly #onFrame = (): void => {
    requestAnimationFrame(this.#onFrame);
    const run = this.#run;
    const model = run?.models[this.#modelIndex];
    if (run === null || model === undefined) {
      this.#tellState();
      return;
    }
    const frame = this.#frame(run, model);
    const instantMs = this.#instantMs(frame);
    this.#board.draw(frame, instantMs);

    const nowMs = performance.now();
    // While nothing moves there is nothing new to tell.
    const instant = `${this.#modelIndex} ${instantMs} ${frame.range.fromMs}`;
    const instantPaceMs = this.#view.isHeld ? TELL_POINTED_MS : TELL_MS;
    if (instant !== this.#toldInstant && nowMs - this.#toldInstantAtMs >= instantPaceMs) {
      this.#toldInstantAtMs = nowMs;
      this.#toldInstant = instant;
      this.#board.tellInstant(frame, instantMs, this.#when(frame, instantMs));
    }
    const isWide = frame.range.toMs - frame.range.fromMs > WIDE_MS;
    if (nowMs - this.#toldAtMs < (isWide ? TELL_WIDE_MS : TELL_MS) || this.#board.isTelling) return;
    this.#toldAtMs = nowMs;
    this.#tellState();
    const subject = `${this.#modelIndex} ${frame.range.fromMs} ${frame.untilMs}`;
    if (subject === this.#toldOf) return;
    this.#toldOf = subject;
    this.#tell(run, frame);
  };

  #frame(run: RunState, model: ModelState): Frame {
    const nowMs = this.#shownMs();
    const range = this.#view.range(nowMs);
    return {
      run,
      model,
      range,
      untilMs: Math.min(range.toMs, nowMs),
      originMs: run.header.startedAtMs,
      isFromStart: this.#view.isLog,
    };
  }

  /** The newest instant that may be shown. */
  #shownMs(): number {
    if (this.#run === null) return 0;
    return this.#view.isLog ? endOf(this.#run) : this.#liveRuns.shownMs(performance.now());
  }

  /** What is pointed at, else the end of what is shown. */
  #instantMs({ range, untilMs, originMs }: Frame): number {
    if (this.#cursorSec === null) return untilMs;
    return Math.max(range.fromMs, Math.min(originMs + this.#cursorSec * 1000, untilMs));
  }

  // ---- text --------------------------------------------------------------------------------------------------------

  #tell(run: RunState, frame: Frame): void {
    const shown = { fromMs: frame.range.fromMs, toMs: frame.untilMs };
    this.#tiles.tell(headlineOf(frame.model, knownRange(run, frame.model, shown)));
    this.#board.tell(frame);
    const isEmpty = frame.model.requests.length === 0 && frame.model.finished.length === 0;
    this.#empty.hidden = !isEmpty || this.#view.isLog;
    setText(this.#emptyCommand, `npx sponge infer ${frame.model.model.name}`);
    setText(this.#footer, this.#footerText(run, frame));
  }

  #when(frame: Frame, instantMs: number): string {
    if (this.#cursorSec === null && !this.#view.isLog) return this.#view.isHeld ? 'when it was paused' : 'now';
    const sec = (instantMs - frame.originMs) / 1000;
    return this.#view.isLog ? `at ${elapsed(sec, 2)}` : `${ago((frame.range.toMs - instantMs) / 1000)}, pointed at`;
  }

  #footerText(run: RunState, { model, range }: Frame): string {
    const count = `${whole(run.recordCount)} records`;
    const oldestMs = model.completeFromMs;
    if (this.#view.isLog) return `${count} ${this.#logText}. Drag over a chart to zoom in, double-click to zoom out.`;
    const hint = 'Drag over a chart to hold and zoom, double-click to zoom out, space to pause.';
    if (oldestMs <= range.fromMs) return `${count} so far. ${hint}`;
    const sec = Math.round((run.nowMs - oldestMs) / 1000);
    return `${count} so far; those of more than ${sec} s ago were dropped, because memory here is bounded. ${hint}`;
  }

  #tellState(): void {
    const [state, text] = this.#stateNow();
    this.#state.dataset['state'] = state;
    setText(this.#state, text);
  }

  #stateNow(): readonly [state: string, text: string] {
    if (this.#isReading) return ['connecting', this.#state.textContent];
    if (this.#view.isLog) return ['log', 'event log'];
    if (this.#connection === 'connecting') return ['connecting', 'connecting'];
    if (this.#connection === 'disconnected') return ['disconnected', 'disconnected, trying again'];
    if (this.#run?.models.length === 0) return ['live', 'live, models are loading'];
    return this.#view.isHeld ? ['paused', 'paused, data keeps coming'] : ['live', 'live'];
  }

  #tellModels({ header }: RunState): void {
    const buttons = header.models.map(({ name, version, isGone }, index) => {
      const isUnique = header.models.filter((other) => other.name === name && other.isGone !== true).length === 1;
      const button = make('button', { type: 'button' }, isUnique ? name : `${name} v${version}`);
      button.hidden = isGone === true;
      button.addEventListener('click', () => this.#choose(index));
      return button;
    });
    this.#models.replaceChildren(...(buttons.filter(({ hidden }) => !hidden).length > 1 ? buttons : []));
  }

  #tellControls(): void {
    const { isLog, isHeld, isZoomed, windowMs } = this.#view;
    this.#pause.hidden = isLog;
    this.#live.hidden = !isLog;
    this.#pause.setAttribute('aria-pressed', String(isHeld));
    setText(this.#pause, isHeld ? 'Resume' : 'Pause');
    for (const button of this.#windows.children as HTMLCollectionOf<HTMLElement>) {
      const isWhole = button.dataset['window'] === 'all';
      if (isWhole) button.hidden = !isLog;
      const isChosen = isWhole ? !isZoomed : !isZoomed && !isLog && Number(button.dataset['window']) === windowMs;
      button.setAttribute('aria-pressed', String(isChosen));
    }
    const header = this.#run?.header;
    const model = header?.models[this.#modelIndex];
    const policy = model === undefined ? '' : ` · ${model.name} v${model.version} · ${kindOf(model)}`;
    const started =
      typeof header?.startedAt === 'string' ? ` · since ${new Date(header.startedAt).toLocaleString()}` : '';
    setText(this.#runText, header === undefined ? '' : `${header.title}${policy}${started}`);
    document.title = header === undefined ? 'Sponge' : `Sponge · ${model?.name ?? header.title}`;
  }
}

function kindOf({ policy, pipeline }: RunModel): string {
  return pipeline === undefined ? `policy ${policy}` : 'a pipeline';
}

/** Of a log: just after its last record (instants are whole microseconds), because ranges are without their end. */
function endOf({ nowMs }: RunState): number {
  return nowMs + 0.001;
}

new Page();
