/** The page: its controls, and what happens when they are used. */

import { Engine } from './engine.js';
import { Player } from './player.js';
import { isVideo, readPicture } from './sources.js';
import { Speed } from './speed.js';
import { Strip } from './strip.js';

const MEASURED_RUNS = 50;

const element = (id) => document.getElementById(id);
const engine = new Engine(element('picture'), showDownload);
const speed = new Speed(element);
const player = new Player(element, segmentFrame, showError);
const strip = new Strip(element('strip'), open);

let about = null; // about.json of web/build.py
let choice = 0; // counts what was opened, so that what is late can be told
let shownName = ''; // of the picture, for the names of saved files
let playedName = ''; // of the video or the camera
let measuring = false;

/** Settings of the display, as the worker takes them. */
const settings = () => ({
  threshold: element('threshold').valueAsNumber,
  layer: document.querySelector('input[name=layer]:checked').value,
});

async function start() {
  showLoading('Loading the network');
  if (typeof WebAssembly === 'undefined') {
    throw new Error(
      'WebAssembly is switched off in this browser, and the network needs it. Allow' +
        ' it in the browser’s settings, or use another browser.',
    );
  }
  if (!HTMLCanvasElement.prototype.transferControlToOffscreen) {
    throw new Error('This browser is too old for this page; see README.md for which work.');
  }
  about = await (await fetch('about.json')).json();
  addSamples();
  const wanted = Number(new URLSearchParams(location.search).get('threads'));
  const { threads, width, height } = await engine.start(wanted);
  element('loading').hidden = true;
  const millions = (about.parameters / 1e6).toFixed(2);
  element('network').textContent =
    `${about.model.toUpperCase()} · ${millions} million parameters · ${width}×${height}`;
  const isolated = crossOriginIsolated ? '' : ' (the page is not isolated)';
  element('backend').textContent =
    `WebAssembly, ${threads} ${threads === 1 ? 'thread' : 'threads'}${isolated}`;
  element('camera').disabled = false;
}

/** The first of them is shown as soon as the network runs, unless something else is. */
function addSamples() {
  const [first] = strip.add(
    about.samples.map(({ name, file }) => ({ name, address: file })),
  );
  if (!choice) first.click();
}

/** Opens an item of the strip. */
async function open(item) {
  const mine = ++choice;
  player.stop();
  hideError();
  try {
    await ready;
    if (mine !== choice) return;
    if (item.file && isVideo(item.file)) await play(item.name, item.file);
    else await showPicture(item, () => mine === choice);
  } catch (error) {
    if (mine !== choice) return;
    strip.clearChoice(); // what is shown is still the picture before
    showError(error.message);
  }
}

async function showPicture({ name, address, file }, isWanted) {
  const blob = file ?? (await (await fetch(address)).blob());
  const bitmap = await readPicture(blob, name);
  if (!isWanted()) return bitmap.close();
  const finding = await engine.segment(bitmap, settings());
  // Only now: a frame of the video before may have been on its way.
  shownName = name;
  element('result').ariaLive = 'polite';
  showFinding(finding);
}

/** Plays a video file, or the camera when there is none. */
async function play(name, file) {
  playedName = name;
  speed.clear();
  await (file ? player.playFile(file) : player.playCamera());
}

async function segmentFrame(bitmap) {
  const finding = await engine.segment(bitmap, settings());
  shownName = playedName;
  element('result').ariaLive = 'off'; // screen readers cannot follow a video
  showFinding(finding);
  return finding.polyps.length > 0;
}

/** @param {object} finding the worker's answer to "segment" or "show". */
function showFinding({ polyps, size, milliseconds }) {
  const noun = polyps.length === 1 ? 'polyp' : 'polyps';
  const area = polyps.reduce((sum, { percent }) => sum + percent, 0);
  element('count').textContent = polyps.length ? `${polyps.length} ${noun}` : 'No polyp';
  element('area').textContent = polyps.length
    ? `${area.toFixed(1)} % of the picture`
    : 'found at this threshold';
  element('polyps').replaceChildren(
    ...polyps.map(({ width, height, percent }) => {
      const line = document.createElement('li');
      line.textContent = `${percent.toFixed(1)} %, ${width}×${height} pixels`;
      return line;
    }),
  );
  element('picture').setAttribute(
    'aria-label',
    `${shownName}, ${size.width}×${size.height} pixels: ` +
      `${element('count').textContent} ${element('area').textContent}`,
  );
  if (milliseconds) speed.add(milliseconds);
  for (const id of ['save-mask', 'save-overlay', 'measure']) element(id).disabled = false;
}

let redrawing = false;
let redrawAgain = false;

/** Shows the picture with the present settings; the last of many changes wins. */
async function redraw() {
  element('threshold-value').textContent = settings().threshold.toFixed(2);
  element('legend').hidden = settings().layer !== 'heatmap';
  redrawAgain = redrawing;
  if (redrawing || element('save-mask').disabled) return;
  redrawing = true;
  await reportErrors(async () => showFinding(await engine.show(settings())));
  redrawing = false;
  if (redrawAgain) redraw();
}

async function save(what) {
  const blob = await engine.save(what, settings().layer);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${shownName.replace(/\.[^.]+$/, '')}_${what}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1e4);
}

async function measure() {
  measuring = !measuring;
  if (!measuring) return;
  speed.clear();
  try {
    for (let run = 1; run <= MEASURED_RUNS && measuring; run++) {
      element('measure').textContent = `Stop (${run} of ${MEASURED_RUNS})`;
      speed.add({ network: await engine.repeat() });
    }
  } finally {
    measuring = false;
    element('measure').textContent = `Measure the network, ${MEASURED_RUNS} runs`;
  }
}

function showLoading(text) {
  element('loading').querySelector('p').textContent = text;
}

function showDownload(bytes) {
  const share = Math.min(bytes / about.download_bytes, 1);
  element('loading').querySelector('progress').value = share;
  const megabytes = [bytes, about.download_bytes].map((size) => (size / 1e6).toFixed(1));
  showLoading(
    share < 1 ? `Loading the network, ${megabytes.join(' of ')} MB` : 'Starting the network',
  );
}

async function reportErrors(work) {
  try {
    await work();
  } catch (error) {
    showError(error.message);
  }
}

function showError(text) {
  element('error').querySelector('p').textContent = text;
  element('error').hidden = false;
}

function hideError() {
  element('error').hidden = true;
}

/** @param {FileList} files chosen or dropped. */
function openFiles(files) {
  const [first] = strip.add([...files].map((file) => ({ name: file.name, file })));
  first?.click();
}

function connectControls() {
  element('error').querySelector('button').addEventListener('click', hideError);
  element('files').addEventListener('change', ({ target }) => {
    openFiles(target.files);
    target.value = ''; // so that the same file can be chosen again
  });
  element('camera').addEventListener('click', () => {
    choice += 1;
    strip.clearChoice();
    hideError();
    reportErrors(() => play('camera'));
  });
  element('stop').addEventListener('click', () => player.stop());
  element('threshold').addEventListener('input', redraw);
  element('layers').addEventListener('change', redraw);
  element('save-mask').addEventListener('click', () => reportErrors(() => save('mask')));
  element('save-overlay').addEventListener('click', () =>
    reportErrors(() => save('overlay')),
  );
  element('measure').addEventListener('click', () => reportErrors(measure));
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  for (const name of ['dragleave', 'drop']) {
    addEventListener(name, () => document.body.classList.remove('dropping'));
  }
  addEventListener('drop', (event) => {
    event.preventDefault();
    openFiles(event.dataTransfer.files);
  });
}

connectControls();
const ready = start();
ready.catch((error) => {
  showLoading('The network does not run.');
  element('loading').querySelector('progress').hidden = true;
  showError(error.message);
});
