"""Scores models on test sets.

The modules, in the order the data flows through them:

* `views`: what a network is shown of an image;
* `cases`: the images and masks of a test set;
* `saved_maps`: probability maps from files (`deploy/maps.py` has those of a model);
* `protocols`: the ways of scoring, one publication's each;
* `scoring`: the scores of a set;
* `video`: the scores of sequences of frames;
* `analysis`: intervals, slices and comparisons;
* `report`: tables, figures, the report page and the results folder;
* `evaluate`: all of these for one model and one set;
* `script_options`: the options that Test.py and New_Test.py share.
"""
