/** Where pictures come from: files, videos and the camera. Errors are sentences. */

const CAMERA_ERRORS = {
  NotAllowedError: 'The browser does not let this page use the camera. Allow it in the' +
    ' address bar, then try again.',
  NotFoundError: 'No camera was found on this device.',
  NotReadableError: 'The camera cannot be read; another program may be using it.',
};

/** Whether a file is a video, by the type the browser gives it. */
export const isVideo = (file) => file.type.startsWith('video/');

/**
 * Decodes a picture as it is meant to be seen: turned by its EXIF tag, and with its
 * stored colours, as data/images.py reads it.
 *
 * @param {Blob} file
 * @param {string} name for the error.
 * @returns {Promise<ImageBitmap>}
 */
export async function readPicture(file, name) {
  try {
    return await createImageBitmap(file, {
      imageOrientation: 'from-image',
      colorSpaceConversion: 'none',
    });
  } catch {
    throw new Error(
      `${name} is damaged, or not a picture or video that this browser can read. PNG,` +
        ' JPEG and WebP work everywhere; TIFF has to be converted first.',
    );
  }
}

/**
 * Plays a video file in a video element.
 *
 * @param {HTMLVideoElement} video
 * @param {File} file
 * @param {AbortSignal} signal says that it is no longer wanted.
 */
export async function openVideo(video, file, signal) {
  video.src = URL.createObjectURL(file);
  try {
    await video.play();
  } catch {
    if (signal.aborted) return;
    closeVideo(video);
    throw new Error(
      `${file.name} is damaged, or a video that this browser cannot play. MP4 (H.264)` +
        ' and WebM work in most.',
    );
  }
}

/**
 * Shows the camera in a video element.
 *
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal says that it is no longer wanted.
 */
export async function openCamera(video, signal) {
  if (!navigator.mediaDevices) {
    throw new Error('The camera works only on pages served over https, or on localhost.');
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 1280 }, facingMode: 'environment' },
    });
    if (signal.aborted) return stopTracks(stream);
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (signal.aborted) return;
    closeVideo(video);
    throw new Error(
      CAMERA_ERRORS[error.name] ?? `The camera cannot be used: ${error.message}.`,
    );
  }
}

function stopTracks(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

/** Releases the file or the camera that a video element plays. */
export function closeVideo(video) {
  if (video.srcObject) stopTracks(video.srcObject);
  video.srcObject = null;
  if (!video.src) return;
  URL.revokeObjectURL(video.src);
  video.removeAttribute('src');
  video.load();
}

/**
 * Gives the newest frame whenever the reader is ready; frames meanwhile are skipped.
 *
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal ends it.
 * @yields {{bitmap: ImageBitmap, seconds: number}} the frame, and its time.
 */
export async function* newestFrames(video, signal) {
  let wake;
  signal.addEventListener('abort', () => wake?.(false));
  const nextFrame = () =>
    new Promise((resolve) => {
      wake = resolve;
      video.requestVideoFrameCallback(() => resolve(true));
    });
  while (!signal.aborted && (await nextFrame())) {
    const seconds = video.currentTime;
    const bitmap = await createImageBitmap(video);
    if (signal.aborted) return bitmap.close();
    yield { bitmap, seconds };
  }
}
