/** Draws a picture with what was found in it, in the colours of deploy/draw.py. */

import { traceContours } from './contour.js';

const CONTOUR = 'rgb(70 110 255)'; // told apart with any colour vision, rare in mucosa
const HALO = 'rgb(255 255 255 / 0.85)';
const HEAT_FROM = 0.25; // fainter probabilities are not painted
const HEAT_RISE = 0.25; // from there to full strength
const HEAT_STRENGTH = 0.55;
// The colour map "inferno" at 0, 1/8, … 1, RGB; style.css has the same for the legend.
const INFERNO = [
  [0, 0, 4],
  [31, 12, 72],
  [85, 15, 109],
  [136, 34, 106],
  [186, 54, 85],
  [227, 89, 51],
  [249, 140, 10],
  [249, 201, 50],
  [252, 255, 164],
];
const HEAT = heatTable();

/**
 * What is drawn over the picture.
 *
 * @typedef {'contour' | 'heatmap' | 'none'} Layer
 */

/**
 * Draws onto a canvas, which takes the picture's size times `scale`.
 *
 * @param {OffscreenCanvas} canvas
 * @param {object} drawn
 * @param {ImageBitmap} drawn.picture
 * @param {Float32Array} drawn.probability of the picture's size.
 * @param {import('./segmenter.js').Finding} drawn.finding
 * @param {Layer} layer
 * @param {number} scale canvas pixels a picture pixel.
 */
export function draw(canvas, { picture, probability, finding }, layer, scale) {
  const { width, height } = picture;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (layer === 'heatmap') {
    context.drawImage(paintHeat(probability, width), 0, 0, canvas.width, canvas.height);
  }
  if (layer === 'contour') {
    const thickness = Math.max(1, Math.max(canvas.width, canvas.height) / 400);
    context.scale(scale, scale);
    const lines = traceContours(probability, finding, width);
    strokeLines(context, lines, thickness / scale);
  }
}

/** @returns {OffscreenCanvas} the heatmap alone, of the map's size. */
function paintHeat(probability, width) {
  const image = new ImageData(width, probability.length / width);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = HEAT[Math.round(255 * probability[i])];
  }
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

/** @returns {Uint32Array} the RGBA of each level 0-255, as ImageData stores it. */
function heatTable() {
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let level = 0; level < 256; level++) {
    const position = (level / 255) * (INFERNO.length - 1);
    const below = Math.min(Math.floor(position), INFERNO.length - 2);
    const share = position - below;
    const colour = INFERNO[below].map(
      (value, channel) => value + share * (INFERNO[below + 1][channel] - value),
    );
    const rise = Math.min(Math.max((level / 255 - HEAT_FROM) / HEAT_RISE, 0), 1);
    bytes.set([...colour, 255 * HEAT_STRENGTH * rise], 4 * level);
  }
  return new Uint32Array(bytes.buffer);
}

function strokeLines(context, lines, thickness) {
  const path = new Path2D();
  for (const [from, to] of lines) {
    path.moveTo(...from);
    path.lineTo(...to);
  }
  context.lineCap = 'round';
  for (const [colour, width] of [
    [HALO, 2.2 * thickness],
    [CONTOUR, thickness],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
}

/**
 * @param {Uint8Array} mask `(height, width)` 0 and 1.
 * @param {number} width pixels.
 * @returns {OffscreenCanvas} white on black.
 */
export function drawMask(mask, width) {
  const image = new ImageData(width, mask.length / width);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = mask[i] ? 0xffffffff : 0xff000000;
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}
