/** Connected regions of a mask, 8-connected, as runs of pixels along its rows. */

/**
 * @typedef {object} Region
 * @property {number} x left column of its box.
 * @property {number} y top row of its box.
 * @property {number} width of its box, pixels.
 * @property {number} height of its box, pixels.
 * @property {number} area pixels.
 * @property {{start: number, end: number}[]} runs its pixels: [start, end) in the mask.
 */

/**
 * @param {Uint8Array} mask `(height, width)`, foreground above 0.
 * @param {number} width of the mask, pixels.
 * @returns {Region[]} the largest first.
 */
export function findRegions(mask, width) {
  const runs = findRuns(mask, width);
  const parents = joinRuns(runs);
  const regions = new Map();
  runs.forEach((run, index) => {
    const root = rootOf(parents, index);
    if (!regions.has(root)) regions.set(root, { area: 0, runs: [] });
    const region = regions.get(root);
    region.area += run.right - run.left;
    region.runs.push(run);
  });
  return [...regions.values()]
    .map((region) => describe(region, width))
    .sort((a, b) => b.area - a.area);
}

function findRuns(mask, width) {
  const runs = [];
  for (let row = 0, y = 0; row < mask.length; row += width, y++) {
    let left = -1;
    for (let x = 0; x <= width; x++) {
      const inside = x < width && mask[row + x] > 0;
      if (inside && left < 0) left = x;
      if (!inside && left >= 0) {
        runs.push({ y, left, right: x });
        left = -1;
      }
    }
  }
  return runs;
}

/** Joins each run with those it touches in the row above; returns a union-find forest. */
function joinRuns(runs) {
  const parents = runs.map((_, index) => index);
  let above = 0;
  for (let index = 0; index < runs.length; index++) {
    const run = runs[index];
    while (runs[above].y < run.y - 1) above++;
    while (runs[above].y === run.y - 1 && runs[above].right < run.left) above++;
    for (let other = above; runs[other].y === run.y - 1; other++) {
      if (runs[other].left > run.right) break;
      parents[rootOf(parents, index)] = rootOf(parents, other);
    }
  }
  return parents;
}

function rootOf(parents, index) {
  let root = index;
  while (parents[root] !== root) {
    parents[root] = parents[parents[root]];
    root = parents[root];
  }
  return root;
}

function describe({ area, runs }, width) {
  const x = runs.reduce((least, run) => Math.min(least, run.left), Infinity);
  const right = runs.reduce((most, run) => Math.max(most, run.right), 0);
  const y = runs[0].y;
  return {
    x,
    y,
    width: right - x,
    height: runs.at(-1).y + 1 - y,
    area,
    runs: runs.map((run) => ({
      start: run.y * width + run.left,
      end: run.y * width + run.right,
    })),
  };
}
