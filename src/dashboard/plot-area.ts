/*
 * The place that a drawing has in its card: as large as the card leaves it, which differs with the screen and with its
 * neighbours. Nothing is drawn for a card that is not on the screen.
 */

export interface PlotArea {
  readonly isOnScreen: boolean;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Drawn a little before it is scrolled to. */
const MARGIN = '150px';

/** @param onSize called with each new size, never with an empty one */
export function watchPlotArea(root: HTMLElement, content: HTMLElement, onSize: (area: PlotArea) => void): PlotArea {
  const area = { isOnScreen: true, widthPx: 0, heightPx: 0 };
  // What is drawn must not make its own place larger.
  content.classList.add('plot');
  new ResizeObserver(() => {
    const [widthPx, heightPx] = [Math.floor(content.clientWidth), Math.floor(content.clientHeight)];
    if (widthPx === 0 || heightPx === 0 || (widthPx === area.widthPx && heightPx === area.heightPx)) return;
    Object.assign(area, { widthPx, heightPx });
    onSize(area);
  }).observe(content);
  const observer = new IntersectionObserver(
    (entries) => {
      area.isOnScreen = entries.at(-1)!.isIntersecting;
    },
    { rootMargin: MARGIN },
  );
  observer.observe(root);
  return area;
}

export const FONT = fontOf(11);

export function fontOf(px: number): string {
  return `${px}px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
}
