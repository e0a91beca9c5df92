"""Exports a run as one model: from mV at the contract's sampling rate to probabilities."""

import ecglib._keras  # noqa: F401

import dataclasses
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ecglib import paths
from ecglib.datasets.store import Dataset, is_store
from ecglib.errors import RunError, require_one_of
from ecglib.inference.converters import BATCH_SIZE, FORMATS, unpack_single
from ecglib.inference.rounding import compute_tolerance
from ecglib.models.end_to_end import build_end_to_end
from ecglib.runs import Run, require_run

#: Format of an exported model -> name of its file.
FILES = {name: one.file for name, one in FORMATS.items()}
N_COMPARED = 256  # stored test windows
RANDOM_SPREAD_MV = 0.3
MAX_DETAIL = 300  # characters of an error of a converter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    path : Path
        The folder of the export.
    max_differences : dict of str to float
        Format -> largest difference of a probability, read back, from the run's.
    compared_with : str
        What the probabilities were compared on.
    skipped : dict of str to str
        Format -> why it cannot be written here.
    failed : dict of str to str, default {}
        Format -> what went wrong; its file was removed.

    Examples
    --------
    >>> exported = Exported(
    ...     path=Path("runs/explore/time-cnn/export"),
    ...     max_differences={"keras": 0.0},
    ...     compared_with="the stored predictions of 256 test windows",
    ...     skipped={"onnx": "ONNX needs tf2onnx: python -m pip install tf2onnx"},
    ... )
    >>> list(exported.max_differences)
    ['keras']
    """

    path: Path
    max_differences: dict[str, float]
    compared_with: str
    skipped: dict[str, str]
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def build_run_model(run: Run) -> keras.Model:
    """Build the run's whole model: crops, filters, representations, network and calibration.

    Parameters
    ----------
    run : Run
        The run.

    Returns
    -------
    keras.Model
        From "signal", (n_windows, n_samples, n_leads) in mV, and for a run with a tabular branch
        "tabular", (n_windows, n_columns), to "probabilities", (n_windows, n_classes). Its layer
        "contract" holds the contract.

    Raises
    ------
    RunError
        If the run is a baseline, whose trees are not saved.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib import prepare, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "epochs": 1}
    ...     run = train(dataset, batch=folder, **settings)
    ...     build_run_model(run).input_shape
    (None, 1000, 12)
    """
    return build_end_to_end(run.contract, run.load_network())


def export_run(
    run: Run,
    folder: str | Path = "",
    formats: Sequence[str] = (),
    data_dir: str | Path = "",
) -> Exported:
    """Write a run as one model, and compare each file, read back, with the run.

    The folder is written atomically, with contract.json and export.json (what was compared) beside
    the models. ``model.keras`` loads after ``import ecglib.inference``; the others need nothing of
    ecglib. The contract is also inside each of them: in the layer "contract" of ``model.keras``,
    in ``assets.extra/contract.json`` of the SavedModel, and in the metadata of the ONNX and the
    TFLite model. In these two the Fourier transforms are products with constant matrices. The
    TFLite model takes one window at a time.

    A format that fails does not stop the others.

    Parameters
    ----------
    run : Run
        The run.
    folder : str or Path, default ""
        Where to write; empty for ``export`` in the run's folder. An existing export is replaced.
    formats : sequence of {"keras", "savedmodel", "onnx", "tflite"}, default ()
        Formats to write; empty for all that can be written here.
    data_dir : str or Path, default ""
        Folder of the stores; empty for the default (`ecglib.paths.data_dir`). If the run's store is
        there, the models are compared with the stored predictions of its test windows, otherwise
        with the run's model on random windows.

    Returns
    -------
    Exported
        What was written, how far it is from the run, and what failed, which is also a warning.

    Raises
    ------
    ExperimentError
        If a format is unknown.
    RunError
        If the run is a baseline, a format that was asked for cannot be written here (a converter
        is missing, or ONNX or TFLite and mixed precision), the folder exists and is not an export,
        the disk is full, or every format failed.

    Notes
    -----
    A format fails if its probabilities differ by more than float32 rounding explains
    (`ecglib.inference.rounding.compute_tolerance`).

    Examples
    --------
    >>> import tempfile
    >>> from ecglib import prepare, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "epochs": 1}
    ...     run = train(dataset, batch=folder, **settings)
    ...     exported = export_run(run, formats=["keras"], data_dir=folder)
    ...     sorted(path.name for path in exported.path.iterdir())
    ['contract.json', 'export.json', 'model.keras']
    """
    require_run(run)
    for name in formats:
        require_one_of("format", name, FILES)
    path = Path(folder) if folder else run.path / "export"
    skipped = _find_skipped_formats(formats, run.experiment.training.precision)
    if path.exists() and not (path / "export.json").is_file():
        raise RunError(
            f"{path} exists and is not an export, so it is not replaced. Name another folder, or "
            f"remove it."
        )
    reference = _find_reference(run, data_dir)
    wanted = [name for name in FORMATS if name not in skipped and name in (formats or FORMATS)]
    try:
        with paths.make_temporary_folder(path.parent, "export") as unfinished:
            new = unfinished / "new"
            new.mkdir()
            max_differences, failed = _write_formats(run, wanted, new, reference)
            exported = Exported(
                path=path,
                max_differences=max_differences,
                compared_with=reference.description,
                skipped=skipped,
                failed=failed,
            )
            if not max_differences:
                raise RunError(f"No format could be exported. {' '.join(failed.values())}")
            paths.write_json(new / "contract.json", run.contract.to_dict())
            paths.write_json(new / "export.json", _describe_export(run, exported))
            if path.exists():
                path.rename(unfinished / "old")
            new.rename(path)
    except OSError as error:
        raise RunError(
            f"The export {path} could not be written: {error}. Nothing was left behind; check the "
            f"space and the permissions of the disk, and export again."
        ) from error
    for reason in failed.values():
        warnings.warn(reason, stacklevel=2)
    return exported


def _write_formats(
    run: Run, names: Sequence[str], folder: Path, reference: "_Reference"
) -> tuple[dict[str, float], dict[str, str]]:
    """Write formats and compare them; return the largest differences, and what failed."""
    max_differences, failed = {}, {}
    for name in names:
        target = folder / FORMATS[name].file
        try:
            FORMATS[name].write(build_run_model(run), run.contract, target)
            p = FORMATS[name].read(target, reference.inputs)
            max_differences[name] = _compare(name, p, reference)
        except OSError:
            raise
        except RunError as error:
            failed[name] = str(error)
        except Exception as error:  # converters raise errors of any type
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_DETAIL]
            failed[name] = f"The {name} model could not be made: {detail}."
        if name in failed:
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    return max_differences, failed


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Reference:
    """Inputs of the model, the probabilities expected for them, and what they are."""

    inputs: list[np.ndarray]
    p: np.ndarray
    tolerance: np.ndarray
    description: str


def _describe_export(run: Run, exported: Exported) -> dict[str, Any]:
    """Return the content of export.json."""
    inputs = {"signal": "(n_windows, n_samples, n_leads), float32, in mV; see contract.json"}
    if columns := run.contract.processing.tabular_columns:
        names = ", ".join(columns)
        inputs["tabular"] = f"(n_windows, {len(columns)}), float32, NaN where missing: {names}"
    return {
        "run": run.path.name,
        "model": run.experiment.model_name,
        "inputs": inputs,
        "output": "probabilities: (n_windows, n_classes), float32, calibrated on validation",
        "files": {name: FILES[name] for name in exported.max_differences},
        "max_differences": exported.max_differences,
        "compared_with": exported.compared_with,
        "skipped": exported.skipped,
        "failed": exported.failed,
        "versions": run.versions | {"keras": keras.__version__},
    }


def _find_skipped_formats(formats: Sequence[str], precision: str) -> dict[str, str]:
    """Return why formats cannot be written here; refuse one that was asked for."""
    obstacles = {name: one.find_obstacle(precision) for name, one in FORMATS.items()}
    skipped = {name: obstacle for name, obstacle in obstacles.items() if obstacle}
    for name in formats:
        if name in skipped:
            raise RunError(f"{skipped[name]}. Or export the other formats only.")
    return skipped


def _find_reference(run: Run, data_dir: str | Path) -> _Reference:
    """Read stored test windows and their predictions, or predict random windows."""
    contract, model = run.contract, build_run_model(run)
    store = paths.data_dir(data_dir) / f"{contract.dataset}-{contract.fingerprint}"
    if is_store(store):
        stored = run.predictions("test")
        chosen = np.unique(np.linspace(0, stored.n_windows - 1, N_COMPARED).astype(int))
        dataset, rows = Dataset(store), stored.rows[chosen]
        inputs = [dataset.read(rows)]
        if columns := contract.processing.tabular_columns:
            inputs.append(dataset.read_tabular(rows, columns))
        p = stored.p[chosen]
        description = f"the stored predictions of {len(chosen)} test windows"
    else:
        rng = np.random.default_rng(0)
        shapes = [(BATCH_SIZE, *x.shape[1:]) for x in model.inputs]
        inputs = [rng.normal(0, RANDOM_SPREAD_MV, shape).astype(np.float32) for shape in shapes]
        p = _predict(model, inputs)
        description = (
            f"the run's model on {BATCH_SIZE} random windows, as there is no store {store}"
        )
    raw_p = _predict(keras.Model(model.inputs, model.get_layer("calibrate").input), inputs)
    return _Reference(
        inputs=inputs,
        p=p,
        tolerance=compute_tolerance(p, raw_p, contract),
        description=description,
    )


def _predict(model: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    return model.predict(unpack_single(inputs), batch_size=BATCH_SIZE, verbose=0)


def _compare(name: str, p: np.ndarray, reference: _Reference) -> float:
    """Return the largest difference; refuse one that rounding does not explain."""
    differences = np.abs(p - reference.p)
    excess = differences / reference.tolerance
    if not (excess <= 1).all():
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN counts as the largest
        raise RunError(
            f"The {name} model differs from {reference.description} by {differences[worst]:.2g}, "
            f"where float32 rounding explains {reference.tolerance[worst]:.2g}; it was not "
            f"written. Export with the library versions and on the kind of device that the run "
            f"was made with (experiment.json)."
        )
    return float(differences.max())
