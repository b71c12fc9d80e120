/*
 * Metrics in the text format of Prometheus. A series is looked up by its labels once and is then a few plain numbers, so that
 * an event costs an addition; text is made at a scrape.
 *
 * Rejected: prom-client, which finds a series by a text that it makes of its sorted labels each time, resolved or not: of a request
 * to a tiny model that was a sixth of all that the router allocated, and a tenth of its CPU.
 */

/** Of a response that has what `Exposition.render` gives. */
export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Series {
  /** @param labels `a="1",b="2"`; '' for none */
  lines(name: string, labels: string): readonly string[];
}

/** A counter, or a gauge. */
export class Sample implements Series {
  value = 0;

  lines(name: string, labels: string): readonly string[] {
    return [line(name, labels, this.value)];
  }
}

export class Histogram implements Series {
  readonly #bounds: readonly number[];
  /** Observations up to each bound and above the one before; last, those above all. */
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let place = 0;
    while (place < this.#bounds.length && value > this.#bounds[place]!) place += 1;
    this.#counts[place]! += 1;
    this.#sum += value;
  }

  lines(name: string, labels: string): readonly string[] {
    const rest = labels === '' ? '' : `,${labels}`;
    let count = 0;
    const buckets = this.#counts.map((ofBucket, place) => {
      count += ofBucket;
      return line(`${name}_bucket`, `le="${numberText(this.#bounds[place] ?? Infinity)}"${rest}`, count);
    });
    return [...buckets, line(`${name}_sum`, labels, this.#sum), line(`${name}_count`, labels, count)];
  }
}

/** The series of one name, by their labels. */
export class Family<Label extends string, Kind extends Series> {
  readonly #name: string;
  readonly #head: string;
  readonly #labelNames: readonly Label[];
  readonly #make: () => Kind;
  /** By the text of their labels. */
  readonly #series = new Map<string, { readonly labels: Readonly<Record<Label, string>>; readonly kind: Kind }>();

  constructor(name: string, head: string, labelNames: readonly Label[], make: () => Kind) {
    this.#name = name;
    this.#head = head;
    this.#labelNames = labelNames;
    this.#make = make;
  }

  /** Exposed from now on. */
  of(labels: Readonly<Record<Label, string>>): Kind {
    const text = this.#labelNames.map((name) => `${name}="${escaped(labels[name])}"`).join(',');
    let series = this.#series.get(text);
    if (series === undefined) this.#series.set(text, (series = { labels, kind: this.#make() }));
    return series.kind;
  }

  /** All that have these labels, whatever their others are. */
  remove(wanted: Readonly<Record<string, string>>): void {
    for (const [text, { labels }] of this.#series) {
      const its: Readonly<Record<string, string>> = labels;
      if (Object.entries(wanted).every(([name, value]) => its[name] === value)) this.#series.delete(text);
    }
  }

  render(): string {
    const lines = [...this.#series].flatMap(([text, { kind }]) => kind.lines(this.#name, text));
    return [this.#head, ...lines].join('\n');
  }
}

/** All families, in the order in which they were added. */
export class Exposition {
  readonly #families: Pick<Family<string, Series>, 'render' | 'remove'>[] = [];

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Family<Label, Sample> {
    return this.#add('counter', name, help, labelNames, () => new Sample());
  }

  gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Family<Label, Sample> {
    return this.#add('gauge', name, help, labelNames, () => new Sample());
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly Label[],
  ): Family<Label, Histogram> {
    return this.#add('histogram', name, help, labelNames, () => new Histogram(bounds));
  }

  /** Of all families, the series that have these labels. Whoever counts in one goes on, and nobody sees it. */
  remove(labels: Readonly<Record<string, string>>): void {
    for (const family of this.#families) family.remove(labels);
  }

  render(): string {
    return `${this.#families.map((family) => family.render()).join('\n\n')}\n`;
  }

  #add<Label extends string, Kind extends Series>(
    type: 'counter' | 'gauge' | 'histogram',
    name: string,
    help: string,
    labelNames: readonly Label[],
    make: () => Kind,
  ): Family<Label, Kind> {
    const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}`;
    const family = new Family(name, head, labelNames, make);
    this.#families.push(family);
    return family;
  }
}

function line(name: string, labels: string, value: number): string {
  return `${name}${labels === '' ? '' : `{${labels}}`} ${numberText(value)}`;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

/** A model's name is whatever its folder is called. */
function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
