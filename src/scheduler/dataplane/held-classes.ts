import type { ShapeClass } from '../domain/request.js';

/** So many that nobody is of are kept all the same: mostly the next request is of one of them. */
const MOST_UNHELD = 64;

interface HeldClass {
  readonly shapeClass: ShapeClass;
  heldCount: number;
}

/**
 * Interns the shape classes of what is held: one object for each, so that decisions, which compare many, compare references and not
 * keys, which are as long as a client likes. As many as are held, and a few more.
 */
export class HeldClasses {
  readonly #byKey = new Map<string, HeldClass>();

  /** One more is held of it; `release` follows. @returns the object that stands for it */
  hold(shapeClass: ShapeClass): ShapeClass {
    const known = this.#byKey.get(shapeClass.key);
    if (known === undefined) {
      this.#byKey.set(shapeClass.key, { shapeClass, heldCount: 1 });
      return shapeClass;
    }
    known.heldCount += 1;
    return known.shapeClass;
  }

  release({ key }: ShapeClass): void {
    const known = this.#byKey.get(key)!;
    known.heldCount -= 1;
    if (known.heldCount === 0 && this.#byKey.size > MOST_UNHELD) this.#byKey.delete(key);
  }
}
