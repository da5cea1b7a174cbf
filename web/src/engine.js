/** The page's side of the worker: each call is a promise of the worker's answer. */

export class Engine {
  #worker;
  #waiting = new Map();
  #nextId = 0;
  #failure = null;

  /**
   * @param {HTMLCanvasElement} canvas where the worker draws pictures.
   * @param {(bytes: number) => void} onProgress told the bytes downloaded so far.
   */
  constructor(canvas, onProgress) {
    this.#worker = startWorker();
    this.#worker.addEventListener('message', ({ data }) => {
      if (data.progress) onProgress(data.progress);
      else this.#settle(data);
    });
    this.#worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.#failure = 'A part of this page did not arrive. Reload the page.';
      for (const id of this.#waiting.keys()) this.#settle({ id, error: this.#failure });
    });
    this.canvas = canvas;
  }

  /** Loads the network; `threads` 0 = as many as help. */
  start(threads) {
    const canvas = this.canvas.transferControlToOffscreen();
    return this.#call('start', { canvas, threads }, [canvas]);
  }

  /** Segments a picture, which the worker takes over, and shows it. */
  segment(bitmap, options) {
    return this.#call('segment', { bitmap, ...options }, [bitmap]);
  }

  /** Shows the last picture with another threshold or layer. */
  show(options) {
    return this.#call('show', options);
  }

  /** Runs the network on the last picture again; a promise of its milliseconds. */
  repeat() {
    return this.#call('repeat', {});
  }

  /** A promise of a PNG; `what` is "mask" or "overlay". */
  save(what, layer) {
    return this.#call('save', { what, layer });
  }

  #call(action, options, transferred = []) {
    if (this.#failure) return Promise.reject(new Error(this.#failure));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, action, options }, transferred);
    });
  }

  #settle({ id, result, error }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }
}

/**
 * Starts worker.js through a blob, because such a worker is bound by the page's content
 * security policy. A worker that is started by its own address is not.
 */
function startWorker() {
  const address = new URL('worker.js', import.meta.url);
  const code = new Blob([`import ${JSON.stringify(address.href)};`], {
    type: 'text/javascript',
  });
  const url = URL.createObjectURL(code);
  return new Worker(url, { type: 'module' });
}
