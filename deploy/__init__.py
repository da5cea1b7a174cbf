"""Deployment: export, quantisation, runtimes, and prediction on pictures and video.

Nothing here is needed to train. The test scripts score what is predicted here. The
runtimes of exported files are optional (`pip install -r requirements-export.txt`).
"""

from deploy.segment import Finding
from deploy.segmenter import Segmenter, load_segmenter

__all__ = ["Finding", "Segmenter", "load_segmenter"]
