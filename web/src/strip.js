/** The row of small pictures under the stage: samples and opened files. */

import { isVideo } from './sources.js';

/**
 * Something that can be chosen.
 *
 * @typedef {object} Item
 * @property {string} name
 * @property {string} [address] of a sample.
 * @property {File} [file] that was opened.
 */

export class Strip {
  /**
   * @param {HTMLElement} container
   * @param {(item: Item) => void} onChoose
   */
  constructor(container, onChoose) {
    this.container = container;
    this.onChoose = onChoose;
  }

  /**
   * Adds items in front.
   *
   * @param {Item[]} items
   * @returns {HTMLButtonElement[]} their buttons.
   */
  add(items) {
    const buttons = items.map((item) => this.#button(item));
    this.container.prepend(...buttons);
    return buttons;
  }

  /** Marks none as chosen. */
  clearChoice() {
    for (const button of this.container.children) button.ariaPressed = 'false';
  }

  #button(item) {
    const button = document.createElement('button');
    button.type = 'button';
    button.title = item.name;
    const caption = document.createElement('span');
    caption.textContent = item.name;
    button.append(this.#thumbnail(item), caption);
    button.addEventListener('click', () => {
      this.clearChoice();
      button.ariaPressed = 'true';
      this.onChoose(item);
    });
    return button;
  }

  #thumbnail({ address, file }) {
    if (file && isVideo(file)) return mark('▶');
    const image = document.createElement('img');
    image.alt = '';
    image.src = address ?? URL.createObjectURL(file);
    image.addEventListener('load', () => URL.revokeObjectURL(image.src));
    image.addEventListener('error', () => image.replaceWith(mark('?')));
    return image;
  }
}

/** What stands for a file that has no picture to show. */
function mark(sign) {
  const element = document.createElement('span');
  element.className = 'mark';
  element.ariaHidden = 'true';
  element.textContent = sign;
  return element;
}
