/**
 * Finds the scope's view among black borders, by the rules of deploy/segment.py.
 *
 * The view is where any frame of a video so far was not black, so a dark lumen or a
 * dark moment does not shrink it. Text in the border is left out.
 */

import { findRegions } from './components.js';

const BLACK = 24; // brightest channel of what lies outside the view, 0-255
const THUMBNAIL = 96; // pixels; enough to find a border
const OPENING = 2; // pixels around each; thin things such as text do not survive it
const SMALLEST_VIEW = 0.05; // of the picture; below it nothing is cut off

export class View {
  constructor() {
    /** Pixels in the view. */
    this.area = 0;
    /** Columns and rows that hold it. */
    this.box = { x: 0, y: 0, width: 0, height: 0 };
    /** `(height, width)` of the picture, 1 in the view. */
    this.mask = new Uint8Array(0);
    this.brightest = null;
  }

  /**
   * Takes one more frame into account.
   *
   * @param {Uint8ClampedArray} rgba `(height, width, 4)`.
   * @param {{width: number, height: number}} size of the frame; all frames share it.
   */
  update(rgba, size) {
    const step = Math.max(1, Math.floor(Math.max(size.width, size.height) / THUMBNAIL));
    const small = {
      width: Math.ceil(size.width / step),
      height: Math.ceil(size.height / step),
    };
    const isFirst = this.brightest === null;
    this.brightest ??= new Uint8Array(small.width * small.height);
    let changed = isFirst;
    for (let y = 0, out = 0; y < small.height; y++) {
      for (let x = 0; x < small.width; x++, out++) {
        const pixel = 4 * step * (y * size.width + x);
        const level = Math.max(rgba[pixel], rgba[pixel + 1], rgba[pixel + 2]);
        if (level <= this.brightest[out]) continue;
        changed ||= level > BLACK && this.brightest[out] <= BLACK;
        this.brightest[out] = level;
      }
    }
    if (changed) this.#find(small, size);
  }

  #find(small, size) {
    const bright = this.brightest.map((level) => (level > BLACK ? 1 : 0));
    const view = largestFilled(open(bright, small), small);
    const mask = new Uint8Array(size.width * size.height);
    let [left, right, top, bottom] = [size.width, -1, size.height, -1];
    this.area = 0;
    const columns = Int32Array.from({ length: size.width }, (_, x) =>
      Math.floor((x * small.width) / size.width),
    );
    for (let y = 0, out = 0; y < size.height; y++) {
      const row = Math.floor((y * small.height) / size.height) * small.width;
      for (let x = 0; x < size.width; x++, out++) {
        if (!view[row + columns[x]]) continue;
        mask[out] = 1;
        this.area += 1;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    this.mask = mask;
    this.box = { x: left, y: top, width: right + 1 - left, height: bottom + 1 - top };
  }
}

/** Morphological opening; what lies outside the picture does not count. */
function open(mask, size) {
  const eroded = spread(mask, size, Math.min);
  return spread(eroded, size, Math.max);
}

/** The least or the greatest value around each pixel, in a square. */
function spread(mask, { width, height }, pick) {
  const rows = mask.map((value, index) => {
    const x = index % width;
    for (let dx = -Math.min(OPENING, x); dx <= Math.min(OPENING, width - 1 - x); dx++) {
      value = pick(value, mask[index + dx]);
    }
    return value;
  });
  return rows.map((value, index) => {
    const y = Math.floor(index / width);
    for (let dy = -Math.min(OPENING, y); dy <= Math.min(OPENING, height - 1 - y); dy++) {
      value = pick(value, rows[index + dy * width]);
    }
    return value;
  });
}

/** The largest region with its holes filled; everything where there is hardly one. */
function largestFilled(mask, size) {
  const [largest] = findRegions(fillHoles(mask, size), size.width);
  if (!largest || largest.area < SMALLEST_VIEW * mask.length) return mask.fill(1);
  const view = new Uint8Array(mask.length);
  for (const { start, end } of largest.runs) view.fill(1, start, end);
  return view;
}

/** Sets all background to 1 that is not joined, 4-connected, to the picture's edge. */
function fillHoles(mask, { width, height }) {
  const filled = new Uint8Array(mask.length).fill(1);
  const waiting = [];
  const visit = (index) => {
    if (mask[index] || !filled[index]) return;
    filled[index] = 0;
    waiting.push(index);
  };
  for (let x = 0; x < width; x++) [x, (height - 1) * width + x].forEach(visit);
  for (let y = 0; y < height; y++) [y * width, (y + 1) * width - 1].forEach(visit);
  while (waiting.length) {
    const index = waiting.pop();
    const x = index % width;
    if (x > 0) visit(index - 1);
    if (x < width - 1) visit(index + 1);
    if (index >= width) visit(index - width);
    if (index < mask.length - width) visit(index + width);
  }
  return filled;
}
