/** Plays a video or the camera through the network, with a time line of findings. */

import { closeVideo, newestFrames, openCamera, openVideo } from './sources.js';

const LONGEST_GAP = 2; // seconds between frames of which the time line shows no gap

export class Player {
  #video;
  #abort = new AbortController();
  #analysed = 0;
  #positive = 0;
  #markedUntil = 0; // seconds

  /**
   * @param {(id: string) => HTMLElement} element finds the player's controls.
   * @param {(bitmap: ImageBitmap) => Promise<boolean>} segment
   *     segments and shows a frame; whether it holds a polyp.
   * @param {(text: string) => void} onError told when a video breaks off.
   */
  constructor(element, segment, onError) {
    this.element = element;
    this.segment = segment;
    this.#video = element('video');
    element('play').addEventListener('click', () => this.#toggle());
    element('position').addEventListener('input', (event) => {
      this.#video.currentTime = event.target.valueAsNumber * this.#video.duration;
    });
    this.#video.addEventListener('error', () => {
      if (!element('player').hidden) {
        onError('The video cannot be played any further; the file may be damaged.');
      }
    });
    for (const name of ['play', 'pause', 'ended']) {
      this.#video.addEventListener(name, () => this.#showState());
    }
  }

  /** Plays a video file until `stop`. */
  playFile(file) {
    return this.#run((signal) => openVideo(this.#video, file, signal));
  }

  /** Shows the camera until `stop`. */
  playCamera() {
    return this.#run((signal) => openCamera(this.#video, signal));
  }

  /** Ends what plays; its last frame stays. */
  stop() {
    this.#abort.abort();
    closeVideo(this.#video);
    this.element('player').hidden = true;
  }

  async #run(open) {
    this.stop();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    await open(signal);
    if (signal.aborted) return;
    this.#start();
    try {
      for await (const { bitmap, seconds } of newestFrames(this.#video, signal)) {
        const isPositive = await this.segment(bitmap);
        if (signal.aborted) return;
        this.#count(seconds, isPositive);
      }
    } finally {
      if (!signal.aborted) this.stop();
    }
  }

  #count(seconds, isPositive) {
    this.#analysed += 1;
    this.#positive += isPositive;
    this.#mark(seconds, isPositive);
    this.#showState();
  }

  #start() {
    this.#analysed = 0;
    this.#positive = 0;
    this.#markedUntil = 0;
    const marks = this.element('marks');
    marks.width = 600; // also clears it
    const hasEnd = Number.isFinite(this.#video.duration);
    this.element('position').disabled = !hasEnd;
    this.element('player').classList.toggle('endless', !hasEnd);
    this.element('player').hidden = false;
    this.#showState();
  }

  #toggle() {
    if (this.#video.paused) this.#video.play();
    else this.#video.pause();
  }

  /** Colours the time line from the frame before, unless it was left by a jump. */
  #mark(seconds, isPositive) {
    const marks = this.element('marks');
    const context = marks.getContext('2d');
    const gap = seconds - this.#markedUntil;
    const from = gap > 0 && gap < LONGEST_GAP ? this.#markedUntil : seconds;
    const x = (time) => Math.floor((marks.width * time) / this.#video.duration);
    context.fillStyle = isPositive ? '#466eff' : '#8fa1b3';
    context.fillRect(x(from), 0, Math.max(x(seconds) - x(from), 2), 1);
    this.#markedUntil = seconds;
  }

  #showState() {
    const { currentTime, duration, paused, ended } = this.#video;
    this.element('play').textContent = ended ? 'Play again' : paused ? 'Play' : 'Pause';
    const hasEnd = Number.isFinite(duration);
    if (hasEnd) this.element('position').value = currentTime / duration;
    const time = hasEnd ? `${clock(currentTime)} of ${clock(duration)}` : 'Live';
    this.element('position').setAttribute('aria-valuetext', time);
    this.element('progress').textContent =
      `${time} · ${this.#analysed} frames analysed, polyp in ${this.#positive}`;
  }
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
