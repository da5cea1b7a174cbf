/** Loads the exported network and runs it in WebAssembly. */

import * as ort from './ort.wasm.bundle.min.mjs';

const MODEL = 'model.onnx';
const RUNTIME = 'ort-wasm-simd-threaded.wasm.gz';
const MOST_THREADS = 4; // the network is small: more threads wait for each other

/**
 * The network in the form Export.py writes: uint8 RGB in, probability out; the order of
 * colours and their range are inside.
 */
export class Network {
  #session;

  constructor(session) {
    this.#session = session;
    const [, height, width] = session.inputMetadata[0].shape;
    /** Size of the pictures it takes, pixels. */
    this.height = height;
    this.width = width;
  }

  /**
   * @param {Uint8ClampedArray} rgb `(height, width, 3)`.
   * @returns {Promise<{probability: Float32Array, milliseconds: number}>}
   *     `(height, width)` in [0, 1], and the time it took.
   */
  async run(rgb) {
    const pixels = new Uint8Array(rgb.buffer, rgb.byteOffset, rgb.length);
    const frame = new ort.Tensor('uint8', pixels, [1, this.height, this.width, 3]);
    const start = performance.now();
    const outputs = await this.#session.run({ [this.#session.inputNames[0]]: frame });
    const milliseconds = performance.now() - start;
    return { probability: outputs[this.#session.outputNames[0]].data, milliseconds };
  }
}

/**
 * Downloads the network and its runtime, and starts them.
 *
 * @param {object} options
 * @param {number} options.threads threads to use; 0 = as many as help.
 * @param {(bytes: number) => void} options.onProgress told the bytes downloaded so far.
 * @returns {Promise<{network: Network, threads: number}>}
 */
export async function loadNetwork({ threads, onProgress }) {
  const received = { [MODEL]: 0, [RUNTIME]: 0 };
  const get = (file) =>
    download(file, (bytes) => {
      received[file] = bytes;
      onProgress(received[MODEL] + received[RUNTIME]);
    });
  const [model, runtime] = await Promise.all([get(MODEL), get(RUNTIME)]);
  ort.env.wasm.wasmBinary = await unpack(runtime);
  ort.env.wasm.numThreads = allowedThreads(threads);
  try {
    const session = await ort.InferenceSession.create(new Uint8Array(model), {
      executionProviders: ['wasm'],
    });
    const network = new Network(session);
    // The first run allocates memory and is slower.
    await network.run(new Uint8ClampedArray(3 * network.height * network.width));
    return { network, threads: ort.env.wasm.numThreads };
  } catch (error) {
    throw new Error(`This browser cannot run the network: ${error.message}.`);
  }
}

/** Threads share memory, which browsers give to isolated pages only. */
function allowedThreads(wanted) {
  if (!globalThis.crossOriginIsolated) return 1;
  return wanted || Math.min(navigator.hardwareConcurrency, MOST_THREADS);
}

/** @returns {Promise<ArrayBuffer>} the content of a file beside this module. */
async function download(file, onProgress) {
  const failure = (reason) =>
    new Error(`The network cannot be loaded: ${file} ${reason}. Reload the page.`);
  try {
    const response = await fetch(new URL(file, import.meta.url));
    if (!response.ok) throw failure(`is missing (HTTP ${response.status})`);
    let bytes = 0;
    const counted = new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.length;
        onProgress(bytes);
        controller.enqueue(chunk);
      },
    });
    return await new Response(response.body.pipeThrough(counted)).arrayBuffer();
  } catch (error) {
    throw error instanceof TypeError ? failure('did not arrive') : error;
  }
}

/** Decompresses gzip, unless the server's headers made the browser do it already. */
async function unpack(content) {
  const [first, second] = new Uint8Array(content, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return content;
  const unpacked = new Blob([content])
    .stream()
    .pipeThrough(new DecompressionStream('gzip'));
  return new Response(unpacked).arrayBuffer();
}
