"""Judges a network on video: sequences of frames at a stated frame rate.

* `regions`: the connected regions that count as findings, for prediction too;
* `tracking`: the identity of regions over frames, for prediction too;
* `frames`: what is measured of each frame;
* `sequences`: the scores of one sequence;
* `scoring`: the scores of all sequences, with their intervals.
"""
