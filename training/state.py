"""Saves and restores everything a run needs to go on as if never stopped.

One HDF5 file holds all variables (weights of all networks, optimizer slots, step
counts) and, as JSON, the counters of the callbacks and the history. It is written
beside and renamed, so a kill at any moment leaves the last complete one.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from cli.command import UserError
from cli.files import replacing

# What each Keras callback counts between epochs.
CALLBACK_COUNTERS = {
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch"),
    # At the end of an epoch the averages are in the model and the weights aside.
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}


def save_state(path: Path, model: keras.Model, progress: dict[str, Any]) -> None:
    """Writes a run's state.

    Args:
        path: the file to write or replace.
        model: the compiled and built training model.
        progress: what else is to be kept, fit for JSON.
    """
    with replacing(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["progress"] = json.dumps(progress)
        for index, variable in enumerate(_variables(model)):
            file[str(index)] = keras.ops.convert_to_numpy(variable)
            file[str(index)].attrs["path"] = variable.path


def saved_epochs(path: Path) -> int:
    """How many epochs a saved run has done; 0 when it has saved nothing yet.

    Raises:
        UserError: when the file is damaged.
    """
    if not path.is_file():
        return 0
    with _opened(path) as file:
        return len(json.loads(file.attrs["progress"])["history"])


def load_state(path: Path, model: keras.Model) -> dict[str, Any]:
    """Restores a run's state into a model built with the same options.

    Args:
        path: a file that `save_state` wrote.
        model: the compiled and built training model; its variables are replaced.

    Returns:
        The saved progress.

    Raises:
        UserError: when the file is damaged or belongs to another model.
    """
    variables = _variables(model)
    with _opened(path) as file:
        progress = json.loads(file.attrs["progress"])
        values = [file[str(index)][()] for index in range(len(file))]
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise UserError(
            f"{path} belongs to another model; resume with the options of its "
            "config.json or start anew with another --name"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return progress


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The state's file; whatever is wrong with what is read of it is one line."""
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is not a readable training state: {error}") from error


def _variables(model: keras.Model) -> list[keras.Variable]:
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    found = [v for v in model.variables if id(v) not in metrics]
    for optimizer in (
        model.optimizer,
        getattr(model, "discriminator_optimizer", None),
    ):
        if optimizer is not None:
            found += optimizer.variables
    unique = {id(variable): variable for variable in found}
    return list(unique.values())


def callback_counters(
    callbacks: list[keras.callbacks.Callback],
) -> dict[str, dict[str, float]]:
    """What the Keras callbacks in a list have counted so far."""
    return {
        kind.__name__: {
            name: float(getattr(callback, name))
            for name in names
            if getattr(callback, name, None) is not None
        }
        for callback in callbacks
        for kind, names in CALLBACK_COUNTERS.items()
        if isinstance(callback, kind)
    }


def restore_counters(
    callbacks: list[keras.callbacks.Callback], counters: dict[str, dict[str, float]]
) -> None:
    """Puts back what `callback_counters` gave, after training has begun."""
    for callback in callbacks:
        for kind in CALLBACK_COUNTERS:
            if isinstance(callback, kind):
                for name, value in counters.get(kind.__name__, {}).items():
                    setattr(callback, name, value)
