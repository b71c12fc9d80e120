import type { PipelineSummary } from '../scheduler/domain/pipeline-summary.js';
import { make, setText } from './elements.js';
import { lossesOf } from './pipeline-boxes.js';
import { pathOf, type Edge, type PipelineLayout, type Point } from './pipeline-layout.js';

/*
 * The lines of a pipeline's picture: as thick as there are parts, with how many of them a request has where that is not one; and where
 * requests are lost, a branch that leads to nothing.
 */

const SVG = 'http://www.w3.org/2000/svg';
const THINNEST = 1.5;
const THICKEST = 6;
/** From the box, where what is lost branches off. */
const BRANCH = 13;
/** Of a mean: one part is not said. */
const SAID_FROM = 0.05;

interface Line {
  readonly edge: Edge;
  readonly path: SVGPathElement;
  readonly parts: HTMLElement;
}

interface Drain {
  readonly path: SVGPathElement;
  readonly label: HTMLElement;
}

export class PipelineLines {
  readonly root = document.createElementNS(SVG, 'svg');
  #lines: readonly Line[] = [];
  /** By step. */
  #drains: readonly Drain[] = [];

  constructor() {
    this.root.setAttribute('aria-hidden', 'true');
  }

  /** Texts beside the lines. */
  get labels(): readonly HTMLElement[] {
    return [...this.#lines.map(({ parts }) => parts), ...this.#drains.map(({ label }) => label)];
  }

  place(layout: PipelineLayout): void {
    const { isUpright, edges, boxes } = layout;
    this.root.setAttribute('width', String(layout.width));
    this.root.setAttribute('height', String(layout.height));
    this.#lines = edges.map((edge) => {
      const parts = make('span', { class: 'parts' });
      const [before, at] = edge.points.slice(-2) as [Point, Point];
      const middle = { x: (before.x + at.x) / 2, y: (before.y + at.y) / 2 };
      move(parts, isUpright ? { x: middle.x - 8, y: middle.y } : middle);
      parts.classList.toggle('beside', isUpright);
      return { edge, path: pathElement('line', pathOf(edge.points, isUpright)), parts };
    });
    this.#drains = boxes.slice(1, -1).map((box): Drain => {
      const label = make('span', { class: 'drain' });
      if (isUpright) {
        const at = { x: box.x + box.width / 2, y: box.y - BRANCH };
        const end = { x: at.x + 22, y: at.y - 3 };
        move(label, { x: end.x + 4, y: end.y - 8 });
        label.style.maxWidth = `${box.width / 2 - 26}px`;
        return { label, path: pathElement('drain', `M${at.x} ${at.y - 6}Q${at.x} ${end.y} ${end.x} ${end.y}`) };
      }
      const at = { x: box.x - BRANCH, y: box.y + box.height / 2 };
      const end = { x: box.x + 4, y: box.y + box.height + 11 };
      move(label, { x: end.x + 4, y: end.y - 8 });
      label.style.maxWidth = `${box.width - 6}px`;
      return {
        label,
        path: pathElement(
          'drain',
          `M${at.x - 8} ${at.y}Q${at.x} ${at.y} ${at.x} ${at.y + 10}V${end.y - 8}Q${at.x} ${end.y} ${end.x} ${end.y}`,
        ),
      };
    });
    this.root.replaceChildren(...this.#lines.map(({ path }) => path), ...this.#drains.map(({ path }) => path));
  }

  /** @param answeredPerSec what goes on to the answer */
  tell({ steps }: PipelineSummary, answeredPerSec: number): void {
    const rateOf = ({ to }: Edge): number => steps[to - 1]?.donePerSec ?? answeredPerSec;
    const most = Math.max(...this.#lines.map(({ edge }) => rateOf(edge)));
    for (const { edge, path, parts } of this.#lines) {
      const share = most > 0 ? Math.sqrt(rateOf(edge) / most) : 0;
      path.style.strokeWidth = (THINNEST + (THICKEST - THINNEST) * share).toFixed(1);
      const count = steps[edge.to - 1]?.partsPerRequest ?? 1;
      setText(parts, Math.abs(count - 1) < SAID_FROM ? '' : `×${Number(count.toFixed(1))}`);
    }
    this.#drains.forEach(({ path, label }, index) => {
      const { name, drops } = steps[index]!;
      const losses = lossesOf(drops, `at ${name} or on the way there`);
      path.style.visibility = losses === null ? 'hidden' : 'visible';
      label.hidden = losses === null;
      setText(label, losses?.text ?? '');
      label.title = losses?.title ?? '';
    });
  }
}

function pathElement(className: string, d: string): SVGPathElement {
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('class', className);
  path.setAttribute('d', d);
  return path;
}

function move(element: HTMLElement, { x, y }: Point): void {
  Object.assign(element.style, { left: `${x}px`, top: `${y}px` });
}
