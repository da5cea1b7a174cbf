"""Precision and distribution strategy of a run."""

import json
import os

import keras
import tensorflow as tf

from cli.command import UserError

FLOAT16_CAPABILITY = (7, 0)  # the first GPUs with float16 matrix units


def set_memory_growth() -> None:
    """Lets GPUs be shared: memory is taken as needed, not all at once."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def set_precision(precision: str) -> str:
    """Sets Keras's dtype policy.

    Args:
        precision: the policy, or `"auto"`: mixed_float16 when every GPU computes
            float16 fast, else float32.

    Returns:
        The policy's name.
    """
    if precision == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        capable = gpus and all(
            tf.config.experimental.get_device_details(gpu).get(
                "compute_capability", (0, 0)
            )
            >= FLOAT16_CAPABILITY
            for gpu in gpus
        )
        precision = "mixed_float16" if capable else "float32"
    keras.config.set_dtype_policy(precision)
    return precision


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Makes the distribution strategy.

    Args:
        name: `"none"`, `"mirrored"` (all GPUs of this machine, or all logical
            CPUs), `"multiworker"` (workers as TF_CONFIG says), or `"auto"`: multiworker
            when TF_CONFIG is set, mirrored when there are several GPUs.

    Raises:
        UserError: when multiworker is asked for without a usable TF_CONFIG.
    """
    config = os.environ.get("TF_CONFIG")
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1
        name = "multiworker" if config else "mirrored" if several else "none"
    if name == "multiworker":
        try:
            json.loads(config)["cluster"]["worker"]
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (TypeError, ValueError, KeyError):
            raise UserError(
                "--strategy multiworker needs the environment variable TF_CONFIG with "
                'the cluster\'s workers and this task, as in {"cluster": {"worker": '
                '["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
            ) from None
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run's files."""
    return strategy.extended.should_checkpoint
