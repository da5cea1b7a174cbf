"""Deployment: export, quantisation, runtimes, and prediction on pictures and video.

Nothing here is needed to train or to score, and the runtimes are optional
(`pip install -r requirements-export.txt`).
"""
