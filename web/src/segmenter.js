/** From a picture to findings at its own size, by the rules of deploy/segment.py. */

import { findRegions } from './components.js';
import { enlargeMap, resizeToRgb } from './resize.js';

const MIN_AREA = 0.0005; // of the picture: smaller specks are no polyp

/**
 * What was found in one picture.
 *
 * @typedef {object} Finding
 * @property {Uint8Array} mask `(height, width)`, 1 above the threshold, specks included.
 * @property {import('./components.js').Region[]} polyps the largest first.
 * @property {number} threshold pixels above it were taken for polyp.
 */

export class Segmenter {
  /** @param {import('./network.js').Network} network */
  constructor(network) {
    this.network = network;
    /** Size of the last picture, pixels. */
    this.size = { width: 0, height: 0 };
    /** `(height, width)` of the last picture, in [0, 1]. */
    this.probability = new Float32Array(0);
  }

  /**
   * Computes the probabilities of a picture.
   *
   * @param {Uint8ClampedArray} rgba `(height, width, 4)`.
   * @param {{width: number, height: number}} size of the picture, pixels.
   * @returns {Promise<number>} milliseconds the network took.
   */
  async run(rgba, size) {
    const small = resizeToRgb(rgba, size, this.network);
    const { probability, milliseconds } = await this.network.run(small);
    this.probability = enlargeMap(probability, this.network, size);
    this.size = size;
    return milliseconds;
  }

  /**
   * Reads the polyps off the last picture's probabilities.
   *
   * @param {number} threshold pixels above it are polyp.
   * @returns {Finding}
   */
  find(threshold) {
    return findPolyps(this.probability, this.size.width, threshold);
  }
}

/**
 * @param {Float32Array} probability `(height, width)` in [0, 1].
 * @param {number} width pixels.
 * @param {number} threshold pixels above it are polyp.
 * @returns {Finding}
 */
export function findPolyps(probability, width, threshold) {
  const mask = new Uint8Array(probability.length);
  for (let i = 0; i < mask.length; i++) mask[i] = probability[i] > threshold ? 1 : 0;
  const smallest = MIN_AREA * mask.length;
  const polyps = findRegions(mask, width).filter((region) => region.area >= smallest);
  return { mask, polyps, threshold };
}
