"""Averages the weights of a fine-tuned network with those that it began with.

    python -m tools.average_checkpoints runs/first runs/second --out_dir runs/both

The mean of two networks that share their beginning often does better than either, in
particular on images of other hospitals (WiSE-FT, https://arxiv.org/abs/2109.01903).
The statistics of batch normalisation belong to neither, so they are re-estimated over
training images of the last run, as its last stage augments them. The new folder holds
`best.h5`, the last run's configuration, and a `validation.json` of the mean.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from cli.command import UserError, command_parser, import_tensorflow, run_command
from models.run_folder import RunFolder
from training.options import TrainingOptions
from training.saved_options import saved_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folders; the last one's options are used",
    )
    parser.add_argument(
        "--out_dir", type=Path, required=True, help="a new folder for the mean"
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Averages, re-estimates, scores and writes.

    Raises:
        UserError: a run is not there, the networks differ, or the new folder holds a
            run already.
    """
    runs, out = [RunFolder(path) for path in args.runs], RunFolder(args.out_dir)
    if out.holds_a_run():
        raise UserError(f"{out} holds a run already; give another --out_dir")
    options = saved_options(runs[-1], {})
    import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from models.checkpoints import load_checkpoint, save_checkpoint
    from training.recalibrate import recalibrate
    from training.run import load_samples, recalibration_images, score_best

    checkpoints = [load_checkpoint(run.best) for run in runs]
    last = checkpoints[-1]
    network = last.model
    weights = [checkpoint.model.get_weights() for checkpoint in checkpoints]
    shapes = {tuple(values.shape for values in one) for one in weights}
    if len(shapes) > 1:
        raise UserError(f"The networks of {', '.join(map(str, runs))} differ")
    network.set_weights([np.mean(same, axis=0) for same in zip(*weights, strict=True)])
    train_samples, val_samples = load_samples(options)
    stage, *_ = options.planned_stages(train_samples.image_size)[-1]
    images = options.bn_recalibrate or TrainingOptions.bn_recalibrate
    estimated = replace(options, bn_recalibrate=images)
    recalibrate(
        network,
        recalibration_images(train_samples, last.image_size, stage, estimated),
        tf.function(lambda images: network(images, training=True)),
    )

    out.path.mkdir(parents=True, exist_ok=True)
    try:
        save_checkpoint(network, out.best)
        validation = score_best(options, out, val_samples)
        mean_of = [str(run) for run in runs]
        out.write_config(runs[-1].read_config() | {"mean_of": mean_of})
    except BaseException:  # half a run would be taken for a whole one
        out.clear()
        raise
    print(
        f"{out.best}: mean Dice {validation.dice_at_half:.4f} on {validation.images} "
        f"validation images ({validation.dice:.4f} at threshold "
        f"{validation.threshold:.2f})\nNext: python Test.py --model_path {out.best}"
    )


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
