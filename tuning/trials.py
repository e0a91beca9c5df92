"""One trial: carried out on training and validation part, written, read."""

import ecglib._keras  # noqa: F401

import dataclasses
import json
import logging
import time
import traceback
from pathlib import Path

import keras

from ecglib import paths
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment, select_windows
from ecglib.training.input_pipeline import make_deterministic
from ecglib.training.trainer import Trainer, TrainerOptions
from ecglib.training.validation import compute_macro_auroc

# Each trial is another model, so TensorFlow has to trace anew and need not warn of it.
logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())

COMPLETED, INFEASIBLE, FAILED = "completed", "infeasible", "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one suggestion.

    `status` is ``"completed"``, ``"infeasible"`` (the values do not fit together; `error` says
    why) or ``"failed"`` (`error` is the traceback). `experiment` holds the values that decided
    it, `history` one dict an epoch; `val_auroc` and `parameters` (the number of weights) are None
    unless it completed.
    """

    number: int
    status: str
    experiment: dict
    model: str
    val_auroc: float | None = None
    parameters: int | None = None
    seconds: float = 0.0
    error: str = ""
    history: list[dict] = dataclasses.field(default_factory=list)

    @property
    def reason(self) -> str:
        """The last line of `error`."""
        return self.error.strip().splitlines()[-1] if self.error else ""


def carry_out(number: int, values: dict, dataset: Dataset, callbacks: tuple = ()) -> Trial:
    """Train one model and score it on the validation part; the test part is not touched.

    An error ends the trial, not the search: it is returned with the trial.

    Parameters
    ----------
    number
        of the trial, from 1.
    values
        those of an `Experiment`.
    dataset
        the prepared store.
    callbacks
        of Keras, for progress.
    """
    made = {"number": number, "experiment": values, "model": "-"}
    started = time.perf_counter()
    try:
        experiment = Experiment.from_flat(values)
        made["model"] = experiment.model_name
        made |= _fit(experiment, dataset, callbacks) | {"status": COMPLETED}
    except ExperimentError as error:
        made |= {"status": INFEASIBLE, "error": str(error)}
    except Exception:  # whatever it is, it is shown, and the next trial may do better
        made |= {"status": FAILED, "error": traceback.format_exc()}
    return Trial(**made, seconds=round(time.perf_counter() - started, 2))


def _fit(experiment: Experiment, dataset: Dataset, callbacks: tuple) -> dict:
    keras.backend.clear_session()  # or the models of all trials stay in memory
    seed = experiment.training.seed
    make_deterministic(seed)
    windows = exclude_test(select_windows(experiment, dataset))
    trainer = Trainer(experiment, dataset, TrainerOptions(callbacks=callbacks), windows)
    model, history = trainer.fit_model(seed)
    # Not the best of the history: a late fusion's weights are fitted after the last epoch.
    predictions = trainer.predict(model, "validation")
    return {
        "val_auroc": compute_macro_auroc(predictions.y, predictions.p),
        "parameters": model.count_params(),
        "history": history.to_dict("records"),
    }


def exclude_test(selection: Selection) -> Selection:
    """The windows of the other parts: what is not there cannot be looked at."""
    return selection.take(selection.part != "test")


def read(path: Path, values: dict) -> Trial | None:
    """The finished trial of these values; None if there is none, or it failed."""
    try:
        trial = Trial(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one that a crash cut short
        return None
    return trial if trial.experiment == values and trial.status != FAILED else None


def write(path: Path, trial: Trial) -> None:
    """Write a trial; it appears whole or not at all."""
    paths.write_text(path, json.dumps(dataclasses.asdict(trial), indent=1))
