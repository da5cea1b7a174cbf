/** From a picture to findings at its own size, by the rules of deploy/segment.py. */

import { findRegions } from './components.js';
import { enlargeMap, resizeToRgb } from './resize.js';
import { View } from './view.js';

const MIN_AREA = 0.0005; // of the view: smaller specks are no polyp

/**
 * What was found in one picture.
 *
 * @typedef {object} Finding
 * @property {Uint8Array} mask `(height, width)`, 1 on polyps.
 * @property {import('./components.js').Region[]} polyps the largest first.
 * @property {number} viewArea pixels in the scope's view.
 * @property {number} threshold pixels above it were taken for polyp.
 */

export class Segmenter {
  #view = new View();

  /** @param {import('./network.js').Network} network */
  constructor(network) {
    this.network = network;
    /** Size of the last picture, pixels. */
    this.size = { width: 0, height: 0 };
    /** `(height, width)` of the last picture, in [0, 1], 0 outside the view. */
    this.probability = new Float32Array(0);
  }

  /**
   * Computes the probabilities of a picture.
   *
   * @param {Uint8ClampedArray} rgba `(height, width, 4)`.
   * @param {{width: number, height: number}} size of the picture, pixels.
   * @param {boolean} continues whether it is the next frame of the same video.
   * @returns {Promise<number>} milliseconds the network took.
   */
  async run(rgba, size, continues) {
    const isSameSize =
      size.width === this.size.width && size.height === this.size.height;
    if (!continues || !isSameSize) this.#view = new View();
    this.size = size;
    this.#view.update(rgba, size);
    const { box } = this.#view;
    const small = resizeToRgb(rgba, size.width, box, this.network);
    const { probability, milliseconds } = await this.network.run(small);
    this.probability = this.#atOwnSize(probability);
    return milliseconds;
  }

  #atOwnSize(probability) {
    const { box, mask } = this.#view;
    const enlarged = enlargeMap(probability, this.network, box);
    const full = new Float32Array(mask.length);
    for (let y = 0, from = 0; y < box.height; y++) {
      let to = (box.y + y) * this.size.width + box.x;
      for (let x = 0; x < box.width; x++, from++, to++) {
        if (mask[to]) full[to] = enlarged[from];
      }
    }
    return full;
  }

  /**
   * Reads the polyps off the last picture's probabilities.
   *
   * @param {number} threshold pixels above it are polyp.
   * @returns {Finding}
   */
  find(threshold) {
    return findPolyps(this.probability, this.size.width, threshold, this.#view.area);
  }
}

/**
 * @param {Float32Array} probability `(height, width)` in [0, 1].
 * @param {number} width pixels.
 * @param {number} threshold pixels above it are polyp.
 * @param {number} viewArea pixels in the scope's view.
 * @returns {Finding}
 */
export function findPolyps(probability, width, threshold, viewArea) {
  const mask = new Uint8Array(probability.length);
  for (let i = 0; i < mask.length; i++) mask[i] = probability[i] > threshold ? 1 : 0;
  const regions = findRegions(mask, width);
  const polyps = regions.filter((region) => region.area >= MIN_AREA * viewArea);
  for (const speck of regions.slice(polyps.length)) {
    for (const { start, end } of speck.runs) mask.fill(0, start, end);
  }
  return { mask, polyps, viewArea, threshold };
}
