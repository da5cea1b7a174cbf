"""What the network is shown of a frame: one choice for prediction and scoring.

`"whole"` is the whole frame; `"cropped"` is the frame cropped to the scope's view,
with probability 0 outside it.
"""

VIEWS = ("whole", "cropped")
DEFAULT_VIEW = "whole"
