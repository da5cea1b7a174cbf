"""Deployment: export, quantisation, runtimes, and prediction on pictures and video.

A room of its own because nothing here is needed to train or score, and its runtimes
are optional (`pip install -r requirements-export.txt`).
"""
