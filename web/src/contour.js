/** The line around polyps, by marching squares. */

// The sides of a cell of four neighbouring pixels, as the pixels at their ends.
const TOP = [0, 0, 1, 0];
const RIGHT = [1, 0, 1, 1];
const BOTTOM = [0, 1, 1, 1];
const LEFT = [0, 0, 0, 1];
// The sides each piece of the line joins, by the pixels that are polyp: 1 top left,
// 2 top right, 4 bottom right, 8 bottom left. Pixels that touch at a corner are one
// polyp, as polyps are 8-connected.
const PIECES = [
  [],
  [[LEFT, TOP]],
  [[TOP, RIGHT]],
  [[LEFT, RIGHT]],
  [[RIGHT, BOTTOM]],
  [
    [TOP, RIGHT],
    [BOTTOM, LEFT],
  ],
  [[TOP, BOTTOM]],
  [[BOTTOM, LEFT]],
  [[BOTTOM, LEFT]],
  [[TOP, BOTTOM]],
  [
    [LEFT, TOP],
    [RIGHT, BOTTOM],
  ],
  [[RIGHT, BOTTOM]],
  [[LEFT, RIGHT]],
  [[TOP, RIGHT]],
  [[LEFT, TOP]],
  [],
];

/**
 * Finds where the probability crosses the threshold between pixel centres.
 *
 * @param {Float32Array} probability `(height, width)`.
 * @param {import('./segmenter.js').Finding} finding of the same picture.
 * @param {number} width pixels.
 * @returns {[number, number][][]} pieces of line, each of two points (x, y) in pixels.
 */
export function traceContours(probability, { polyps, threshold }, width) {
  const height = probability.length / width;
  const outlined = new Uint8Array(probability.length); // the mask without its specks
  for (const { start, end } of polyps.flatMap(({ runs }) => runs)) {
    outlined.fill(1, start, end);
  }
  const isPixel = (x, y) => x >= 0 && y >= 0 && x < width && y < height;
  const isPolyp = (x, y) => (isPixel(x, y) ? outlined[y * width + x] : 0);
  const valueAt = (x, y) => (isPixel(x, y) ? probability[y * width + x] : 0);
  const crossing = (x, y, [x0, y0, x1, y1]) => {
    const from = valueAt(x + x0, y + y0);
    const to = valueAt(x + x1, y + y1);
    const share = (from - threshold) / (from - to);
    return [x + x0 + share * (x1 - x0) + 0.5, y + y0 + share * (y1 - y0) + 0.5];
  };
  const lines = [];
  for (const box of polyps) {
    for (let y = box.y - 1; y < box.y + box.height; y++) {
      for (let x = box.x - 1; x < box.x + box.width; x++) {
        const corners =
          isPolyp(x, y) +
          2 * isPolyp(x + 1, y) +
          4 * isPolyp(x + 1, y + 1) +
          8 * isPolyp(x, y + 1);
        for (const [from, to] of PIECES[corners]) {
          lines.push([crossing(x, y, from), crossing(x, y, to)]);
        }
      }
    }
  }
  return lines;
}
