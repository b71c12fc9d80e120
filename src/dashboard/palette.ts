/*
 * The colours of the page as a canvas needs them. `style.css` holds the light and the dark value of each; which of them is in
 * force is asked from the browser, so that text, swatches and drawings can never differ.
 */

const NAMES = [
  'card',
  'ink',
  'soft',
  'rule',
  'granted',
  'wanted',
  'need',
  'depth',
  'batch',
  'p50',
  'p99',
  'budget',
  'delay',
  'punctual',
  'late',
  'refused',
  'overloaded',
  'expired',
  'left',
  'failed',
  'model-1',
  'model-2',
  'model-3',
  'model-4',
  'model-5',
  'model-6',
  'model-7',
  'model-8',
] as const;

export type ColourName = (typeof NAMES)[number];

let colours: Readonly<Record<ColourName, string>> | null = null;

/** A CSS colour. */
export function colour(name: ColourName): string {
  colours ??= readColours();
  return colours[name];
}

/** Another theme is in force. */
export function forgetColours(): void {
  colours = null;
}

/** A custom property is text until it is used for something: an element that uses it tells what it came to. */
function readColours(): Readonly<Record<ColourName, string>> {
  const probe = document.createElement('span');
  probe.hidden = true;
  document.body.append(probe);
  const found = NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color] as const;
  });
  probe.remove();
  return Object.fromEntries(found) as Record<ColourName, string>;
}
