"""Exports in int8, quantised after training by each runtime's own tool.

Weights and, except in LiteRT, activations become 8-bit integers, with ranges measured
on calibration frames. Whether the result is good enough is decided in
`deploy/gate.py`.
"""

from pathlib import Path

import keras
import numpy as np

from cli.command import UserError
from deploy.export import quiet_converters, write_model
from deploy.formats import require

QUANTISABLE = ("openvino", "onnx", "litert")
# LGPS's first convolutions stay in float32: with them in int8, the masks differ most
# (docs/deployment.md, "int8").
FLOAT_CONVOLUTIONS = 4


def write_int8(
    model: keras.Model, path: Path, file_format: str, frames: np.ndarray
) -> None:
    """Exports a model in int8.

    Args:
        model: as for `deploy.export.write_model`, with batch size 1.
        path: the file to write.
        file_format: one of `QUANTISABLE`.
        frames: `(N, H, W, 3)` uint8 RGB to calibrate on; a few hundred are enough.

    Raises:
        UserError: the format has no int8 form, or its tool is not installed.
    """
    writers = {"openvino": _openvino, "onnx": _onnx, "litert": _litert}
    if file_format not in writers:
        raise UserError(
            f"--int8 is for {', '.join(QUANTISABLE)}; received --format {file_format}"
        )
    writers[file_format](model, path, frames)


def _openvino(model: keras.Model, path: Path, frames: np.ndarray) -> None:
    nncf, openvino = require("nncf"), require("openvino")
    ranges = require("nncf.quantization.range_estimator").RangeEstimatorParametersSet
    float_path = path.with_name(f"float_{path.name}")
    write_model(model, float_path, "openvino")
    network = openvino.Core().read_model(float_path)
    options = {}
    if model.name == "lgps":
        first = [
            node.get_friendly_name()
            for node in network.get_ordered_ops()
            if node.get_type_name() in ("Convolution", "GroupConvolution")
        ][:FLOAT_CONVOLUTIONS]
        # Its only matrix products enlarge the finished map.
        options["ignored_scope"] = nncf.IgnoredScope(names=first, types=["MatMul"])
    else:
        options["model_type"] = nncf.ModelType.TRANSFORMER
    with quiet_converters():
        quantised = nncf.quantize(
            network,
            nncf.Dataset(frames, lambda frame: frame[None]),
            subset_size=len(frames),
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # Weights of 7 bits: processors with AVX2 or AVX-512 and without VNNI
                # add two products in 16 bits, which 8-bit weights overflow.
                overflow_fix=nncf.OverflowFix.ENABLE,
                activations_range_estimator_params=ranges.MINMAX,
            ),
            **options,
        )
        openvino.save_model(quantised, path, compress_to_fp16=False)
    float_path.unlink()
    float_path.with_suffix(".bin").unlink()


def _onnx(model: keras.Model, path: Path, frames: np.ndarray) -> None:
    onnx = require("onnx")
    tools = require("onnxruntime.quantization")
    shape_inference = require("onnxruntime.quantization.shape_inference")
    float_path = path.with_name(f"float_{path.name}")
    write_model(model, float_path, "onnx")

    class Reader(tools.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter({"frame": frame[None]} for frame in frames)

        def get_next(self):
            return next(self.feeds, None)

    with quiet_converters():
        shape_inference.quant_pre_process(
            float_path, float_path, skip_symbolic_shape=True
        )
        nodes = onnx.load(float_path).graph.node
        convolutions = [node.name for node in nodes if node.op_type == "Conv"]
        first = FLOAT_CONVOLUTIONS if model.name == "lgps" else 0
        tools.quantize_static(
            float_path,
            path,
            Reader(),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,  # signed is 3 times slower on x86
            reduce_range=True,  # weights of 7 bits, as for OpenVINO
            nodes_to_exclude=convolutions[:first],
        )
    float_path.unlink()


def _litert(model: keras.Model, path: Path, frames: np.ndarray) -> None:
    """Weights in int8; LiteRT finds the activations' ranges anew for each frame.

    With fixed ranges, a squeeze-excitation unit that is zero on all frames gets the
    range 0, and XNNPACK (LiteRT 2.3) crashes on it.
    """
    import tensorflow as tf

    with quiet_converters():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        path.write_bytes(converter.convert())
