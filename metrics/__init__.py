"""Measures of a segmentation, in NumPy; which to use how is a protocol's matter."""
