"""Segmentation metrics in NumPy; `evaluation/protocols` combines them into scores."""
