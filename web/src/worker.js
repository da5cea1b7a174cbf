/**
 * The worker: all work on pixels is done here, so that the page stays responsive.
 *
 * It answers the calls of engine.js, one at a time and in order.
 */

import { draw, drawMask } from './draw.js';
import { loadNetwork } from './network.js';
import { Segmenter } from './segmenter.js';

const SHARP_SIDE = 1000; // pixels; smaller pictures are drawn enlarged
const MOST_PIXELS = 50e6; // of a picture; more does not fit into a tab's memory

/** What each call of the page does. */
const actions = { start, segment, show, repeat, save };

let shownOn = null; // OffscreenCanvas of the page
let segmenter = null;
let picture = null; // ImageBitmap
let finding = null;
const reading = new OffscreenCanvas(1, 1);

/** Loads the network; `canvas` is where pictures will be drawn. */
async function start({ canvas, threads }) {
  shownOn = canvas;
  const onProgress = (bytes) => postMessage({ progress: bytes });
  const loaded = await loadNetwork({ threads, onProgress });
  segmenter = new Segmenter(loaded.network);
  const { width, height } = loaded.network;
  return { threads: loaded.threads, width, height };
}

/**
 * Segments a picture and shows it.
 *
 * The answer holds the milliseconds of the network, and of all steps from pixels to
 * findings.
 */
async function segment({ bitmap, threshold, layer }) {
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    const { width, height } = bitmap;
    bitmap.close(); // which sets its sides to 0
    throw new Error(
      `The picture has ${width}×${height} pixels; this page takes up` +
        ` to ${MOST_PIXELS / 1e6} million.`,
    );
  }
  const start = performance.now();
  let network;
  try {
    network = await segmenter.run(pixelsOf(bitmap), sizeOf(bitmap));
  } catch (error) {
    bitmap.close(); // the picture before stays, with its finding
    throw error;
  }
  picture?.close();
  picture = bitmap;
  finding = segmenter.find(threshold);
  const milliseconds = { network, frame: performance.now() - start };
  return { ...drawShown(layer), milliseconds };
}

/** Shows the last picture with another threshold or layer; the network does not run. */
function show({ threshold, layer }) {
  if (threshold !== finding.threshold) finding = segmenter.find(threshold);
  return drawShown(layer);
}

/** Runs the network once more on the last picture; the answer is its milliseconds. */
function repeat() {
  return segmenter.run(pixelsOf(picture), sizeOf(picture));
}

/** The last picture's mask, or the picture with a layer on it, as a PNG. */
function save({ what, layer }) {
  let canvas = new OffscreenCanvas(1, 1);
  if (what === 'mask') canvas = drawMask(finding.mask, picture.width);
  else draw(canvas, drawn(), layer, 1);
  return canvas.convertToBlob({ type: 'image/png' });
}

function drawShown(layer) {
  const side = Math.max(picture.width, picture.height);
  draw(shownOn, drawn(), layer, Math.ceil(SHARP_SIDE / side));
  const polyps = finding.polyps.map(({ x, y, width, height, area }) => ({
    ...{ x, y, width, height },
    percent: (100 * area) / finding.mask.length, // of the picture
  }));
  return { polyps, size: sizeOf(picture) };
}

const drawn = () => ({ picture, probability: segmenter.probability, finding });

const sizeOf = ({ width, height }) => ({ width, height });

/** @returns {Uint8ClampedArray} `(height, width, 4)` RGBA; what is transparent is black. */
function pixelsOf(bitmap) {
  if (reading.width !== bitmap.width || reading.height !== bitmap.height) {
    reading.width = bitmap.width;
    reading.height = bitmap.height;
  }
  const context = reading.getContext('2d', { alpha: false, willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

let queue = Promise.resolve();
addEventListener('message', ({ data: { id, action, options } }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id, result: await actions[action](options) });
    } catch (error) {
      postMessage({ id, error: error.message });
    }
  });
});
