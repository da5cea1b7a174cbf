/** How long frames took, and the table that shows it. */

const KEPT = 200; // newest frames that count

export class Speed {
  #network = [];
  #frame = [];
  #frames = 0;

  /** @param {(id: string) => HTMLElement} element finds the table's cells. */
  constructor(element) {
    this.element = element;
  }

  /**
   * Takes the times of one more frame into account.
   *
   * @param {{network: number, frame?: number}} milliseconds
   */
  add({ network, frame }) {
    this.#frames += 1;
    keep(this.#network, network);
    if (frame !== undefined) keep(this.#frame, frame);
    this.element('network-ms').textContent = summary(this.#network);
    this.element('frame-ms').textContent = summary(this.#frame);
    const frames = this.#frames === 1 ? 'frame' : 'frames';
    this.element('frames').textContent = `${this.#frames} ${frames}`;
  }

  /** Forgets all times. */
  clear() {
    this.#network = [];
    this.#frame = [];
    this.#frames = 0;
    for (const id of ['network-ms', 'frame-ms', 'frames']) {
      this.element(id).textContent = '–';
    }
  }
}

function keep(times, milliseconds) {
  times.push(milliseconds);
  if (times.length > KEPT) times.shift();
}

function summary(times) {
  if (!times.length) return '–';
  return `${[0.5, 0.95].map((p) => percentile(times, p).toFixed(1)).join(' / ')} ms`;
}

/** The value that `share` of the times do not exceed, linear between neighbours. */
export function percentile(times, share) {
  const sorted = [...times].sort((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (position - below) * (above - sorted[below]);
}
