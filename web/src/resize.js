/**
 * Shrinks pictures to the network's size by the rules of data/images.py, which are
 * OpenCV's: by area averages when a side shrinks, else bilinear.
 */

/**
 * The source pixels that make each output pixel along one axis.
 *
 * @typedef {object} Axis
 * @property {Int32Array} first index of the first source pixel.
 * @property {Int32Array} count number of source pixels.
 * @property {Float32Array} weights `(output length, taps)`, each row sums to 1.
 * @property {number} taps length of a row of `weights`.
 */

/** Overlaps thinner than this are left out, as OpenCV does. */
const THINNEST_OVERLAP = 1e-3;

/**
 * Resizes a picture.
 *
 * @param {Uint8ClampedArray} rgba `(height, width, 4)` of the size `from`.
 * @param {{width: number, height: number}} from pixels.
 * @param {{width: number, height: number}} to size of the result, pixels.
 * @returns {Uint8ClampedArray} `(height, width, 3)` RGB.
 */
export function resizeToRgb(rgba, from, to) {
  const makeAxis = chooseFilter(from, to);
  const columns = makeAxis(from.width, to.width);
  const rows = makeAxis(from.height, to.height);
  return resizeRows(resizeColumns(rgba, from, columns), rows, 3 * to.width);
}

function chooseFilter(from, to) {
  if (from.width <= to.width && from.height <= to.height) return bilinearAxis;
  // Where one side grows, OpenCV's area filter becomes a bilinear one of its own kind.
  const bothShrink = from.width >= to.width && from.height >= to.height;
  return bothShrink ? areaAxis : growingAreaAxis;
}

/** @returns {Float32Array} `(from.height, output width, 3)` RGB. */
function resizeColumns(rgba, from, { first, count, weights, taps }) {
  const result = new Float32Array(3 * from.height * first.length);
  let out = 0;
  for (let y = 0; y < from.height; y++) {
    const row = 4 * y * from.width;
    for (let x = 0; x < first.length; x++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      let source = row + 4 * first[x];
      for (let tap = x * taps, end = tap + count[x]; tap < end; tap++, source += 4) {
        red += weights[tap] * rgba[source];
        green += weights[tap] * rgba[source + 1];
        blue += weights[tap] * rgba[source + 2];
      }
      result[out++] = red;
      result[out++] = green;
      result[out++] = blue;
    }
  }
  return result;
}

/** @returns {Uint8ClampedArray} whose assignments round half to even, as OpenCV does. */
function resizeRows(values, { first, count, weights, taps }, rowLength) {
  const result = new Uint8ClampedArray(first.length * rowLength);
  const sums = new Float32Array(rowLength);
  for (let y = 0; y < first.length; y++) {
    sums.fill(0);
    for (let tap = 0; tap < count[y]; tap++) {
      const weight = weights[y * taps + tap];
      const row = (first[y] + tap) * rowLength;
      for (let x = 0; x < rowLength; x++) sums[x] += weight * values[row + x];
    }
    result.set(sums, y * rowLength);
  }
  return result;
}

/** Each output pixel is the mean of the source it covers. */
function areaAxis(from, to) {
  const scale = from / to;
  const axis = emptyAxis(to, Math.ceil(scale) + 2);
  for (let i = 0; i < to; i++) {
    const start = i * scale;
    const end = start + scale;
    const cell = Math.min(scale, from - start);
    const wholeEnd = Math.min(Math.floor(end), from - 1);
    const wholeStart = Math.min(Math.ceil(start), wholeEnd);
    const taps = [];
    axis.first[i] = wholeStart;
    if (wholeStart - start > THINNEST_OVERLAP) {
      axis.first[i] = wholeStart - 1;
      taps.push((wholeStart - start) / cell);
    }
    for (let x = wholeStart; x < wholeEnd; x++) taps.push(1 / cell);
    if (end - wholeEnd > THINNEST_OVERLAP) {
      taps.push(Math.min(end - wholeEnd, 1, cell) / cell);
    }
    setTaps(axis, i, taps);
  }
  return axis;
}

/** @returns {Axis} between the two source pixels next to an output pixel's centre. */
export function bilinearAxis(from, to) {
  const axis = emptyAxis(to, 2);
  for (let i = 0; i < to; i++) {
    setBilinear(axis, i, from, ((i + 0.5) * from) / to - 0.5);
  }
  return axis;
}

/** What OpenCV's area filter does to both axes of a picture of which one grows. */
function growingAreaAxis(from, to) {
  const axis = emptyAxis(to, 2);
  for (let i = 0; i < to; i++) {
    const left = Math.floor((i * from) / to);
    const share = i + 1 - ((left + 1) * to) / from;
    setBilinear(axis, i, from, left + (share <= 0 ? 0 : share - Math.floor(share)));
  }
  return axis;
}

function setBilinear(axis, i, from, position) {
  const clamped = Math.min(Math.max(position, 0), from - 1);
  axis.first[i] = Math.floor(clamped);
  const share = clamped - axis.first[i];
  setTaps(axis, i, share > 0 ? [1 - share, share] : [1]);
}

function emptyAxis(length, taps) {
  return {
    first: new Int32Array(length),
    count: new Int32Array(length),
    weights: new Float32Array(length * taps),
    taps,
  };
}

function setTaps(axis, i, taps) {
  axis.count[i] = taps.length;
  axis.weights.set(taps, i * axis.taps);
}

/**
 * Enlarges a probability map, bilinear.
 *
 * @param {Float32Array} map `(size.height, size.width)`.
 * @param {{width: number, height: number}} size of the map.
 * @param {{width: number, height: number}} to size of the result.
 * @returns {Float32Array} `(to.height, to.width)`.
 */
export function enlargeMap(map, size, to) {
  const columns = bilinearAxis(size.width, to.width);
  const rows = bilinearAxis(size.height, to.height);
  const wide = new Float32Array(size.height * to.width);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < to.width; x++) {
      const left = y * size.width + columns.first[x];
      const share = columns.weights[2 * x + 1];
      wide[y * to.width + x] = share
        ? map[left] + share * (map[left + 1] - map[left])
        : map[left];
    }
  }
  const result = new Float32Array(to.height * to.width);
  for (let y = 0; y < to.height; y++) {
    const upper = rows.first[y] * to.width;
    const share = rows.weights[2 * y + 1];
    const lower = share ? upper + to.width : upper;
    const out = y * to.width;
    for (let x = 0; x < to.width; x++) {
      const value = wide[upper + x];
      result[out + x] = value + share * (wide[lower + x] - value);
    }
  }
  return result;
}
