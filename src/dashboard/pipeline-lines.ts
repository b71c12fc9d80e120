import type { PipelineSummary } from '../scheduler/domain/pipeline-summary.js';
import { make, setText } from './elements.js';
import { lossesOf } from './pipeline-boxes.js';
import { pathOf, type Edge, type PipelineLayout, type Place, type Point } from './pipeline-layout.js';

/*
 * The lines of a pipeline's picture, as thick as there are parts; and where requests are lost, a branch that leads to nothing.
 */

const SVG = 'http://www.w3.org/2000/svg';
const THINNEST = 1.5;
const THICKEST = 6;
/** From the box, where what is lost branches off. */
const BRANCH = 7;

interface Line {
  readonly edge: Edge;
  readonly path: SVGPathElement;
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

  /** Texts beside the branches. */
  get labels(): readonly HTMLElement[] {
    return this.#drains.map(({ label }) => label);
  }

  place(layout: PipelineLayout): void {
    const { isUpright, edges, boxes } = layout;
    this.root.setAttribute('width', String(layout.width));
    this.root.setAttribute('height', String(layout.height));
    this.#lines = edges.map((edge) => ({ edge, path: pathElement('line', pathOf(edge.points, isUpright)) }));
    this.#drains = boxes.slice(1, -1).map((box, index): Drain => {
      const arriving = edges.filter(({ to }) => to === index + 1).map(({ points }) => points.at(-2)!);
      return isUpright ? drainBeside(box, arriving) : drainBelow(box);
    });
    this.root.replaceChildren(...this.#lines.map(({ path }) => path), ...this.#drains.map(({ path }) => path));
  }

  /** @param answeredPerSec what goes on to the answer */
  tell({ steps }: PipelineSummary, answeredPerSec: number): void {
    const rateOf = ({ to }: Edge): number => steps[to - 1]?.donePerSec ?? answeredPerSec;
    const most = Math.max(...this.#lines.map(({ edge }) => rateOf(edge)));
    for (const { edge, path } of this.#lines) {
      const share = most > 0 ? Math.sqrt(rateOf(edge) / most) : 0;
      path.style.strokeWidth = (THINNEST + (THICKEST - THINNEST) * share).toFixed(1);
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

/** Down along the box, to a text below it. */
function drainBelow({ x, y, width, height }: Place): Drain {
  const at = { x: x - BRANCH, y: y + height / 2 };
  const end = { x: x + 4, y: y + height + 11 };
  const path = `M${at.x - 5} ${at.y}Q${at.x} ${at.y} ${at.x} ${at.y + 8}V${end.y - 8}Q${at.x} ${end.y} ${end.x} ${end.y}`;
  return { path: pathElement('drain', path), label: labelAt({ x: end.x + 4, y: end.y - 8 }, width - 8) };
}

/** @param arriving where lines come from: the text is on the other side */
function drainBeside({ x, y, width }: Place, arriving: readonly Point[]): Drain {
  const at = { x: x + width / 2, y: y - BRANCH };
  const isLeft = arriving.some((from) => from.x > at.x + 1);
  const endX = at.x + (isLeft ? -18 : 18);
  const room = width / 2 - 22;
  const path = `M${at.x} ${at.y - 5}Q${at.x} ${at.y} ${endX} ${at.y}`;
  const label = labelAt({ x: isLeft ? endX - 4 - room : endX + 4, y: at.y - 8 }, room);
  label.classList.toggle('left', isLeft);
  // So that it ends where the branch does.
  if (isLeft) label.style.width = `${room}px`;
  return { path: pathElement('drain', path), label };
}

function labelAt({ x, y }: Point, room: number): HTMLElement {
  const label = make('span', { class: 'drain' });
  Object.assign(label.style, { left: `${x}px`, top: `${y}px`, maxWidth: `${Math.max(0, room)}px` });
  return label;
}

function pathElement(className: string, d: string): SVGPathElement {
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('class', className);
  path.setAttribute('d', d);
  return path;
}
