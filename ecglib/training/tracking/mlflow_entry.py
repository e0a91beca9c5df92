"""Entries of finished runs in MLflow: one for each run, in the MLflow experiment of its batch.

An entry is written at the end, in one go, so that a training that is killed leaves none. MLflow's
requests for usage data are off, and a server that does not answer is given up soon, unless MLflow's
variables say otherwise.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecglib.runs import EXPERIMENT, METRICS, Run
from ecglib.training.tracking.lock import lock_folder
from ecglib.training.tracking.values import describe_run, list_epochs, list_scores, list_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULTS = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # MLflow 3 refuses folders otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # s
}
N_METRICS = 1000  # that MLflow takes in one request
CHECKSUM, FOLDER = "ecglib.checksum", "ecglib.run"
FINISHED = "FINISHED"


def write_mlflow_entry(run: Run, address: str) -> None:
    """Write the entry of a finished run, unless it is there.

    An entry that was not finished, or is of other files of this run, is replaced.

    Parameters
    ----------
    run : Run
        The run.
    address : str
        A folder, or the address of an MLflow server.

    Raises
    ------
    Exception
        Whatever MLflow raises if the entry cannot be written.

    Examples
    --------
    >>> write_mlflow_entry(open_run("0123456789"), "mlruns")  # doctest: +SKIP
    """
    with _set_defaults():
        client = _open_store(find_address(address))
        checksum = hashlib.blake2b((run.path / EXPERIMENT).read_bytes(), digest_size=16).hexdigest()
        with _lock(address):
            experiment = _find_experiment(client, run.path.parent.name)
            name = f"attributes.run_name = '{run.path.name}'"
            entries = client.search_runs([experiment], name)
            current = [
                entry.info.run_id
                for entry in entries
                if entry.info.status == FINISHED and entry.data.tags.get(CHECKSUM) == checksum
            ][:1]
            if not current:
                _create_entry(client, experiment, run, checksum)
            for entry in entries:
                if entry.info.run_id not in current:
                    client.delete_run(entry.info.run_id)


def find_address(given: str) -> str:
    """Return the address of an MLflow store, as MLflow knows it on any system.

    Parameters
    ----------
    given : str
        A folder or an address.

    Examples
    --------
    >>> find_address("http://127.0.0.1:5000")
    'http://127.0.0.1:5000'
    >>> find_address("/work/mlruns")
    'file:///work/mlruns'
    """
    return given if _is_address(given) else Path(given).resolve().as_uri()


def _is_address(given: str) -> bool:
    return "://" in given or given == "databricks"


def _open_store(address: str) -> "MlflowClient":
    from mlflow import MlflowClient

    try:
        return MlflowClient(tracking_uri=address)
    except Exception:  # another process has created the same folder at this moment
        return MlflowClient(tracking_uri=address)


def _lock(address: str) -> contextlib.AbstractContextManager[Any]:
    """Let one process at a time write to a folder; a server sees to it by itself."""
    return contextlib.nullcontext() if _is_address(address) else lock_folder(Path(address))


def _find_experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of the MLflow experiment of a batch, which is created if necessary."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException:  # another client of the server may have created it
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        raise


def _create_entry(client: "MlflowClient", experiment: str, run: Run, checksum: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    finished = int((run.path / METRICS).stat().st_mtime * 1000)
    started = finished - int(run.metrics["model"]["seconds"] * 1000)
    run_id = client.create_run(experiment, started, run_name=run.path.name).info.run_id

    def list_metrics(values: dict[str, float], step: int) -> list[Any]:
        return [Metric(name, value, finished, step) for name, value in values.items()]

    metrics = list_metrics(list_scores(run.metrics), 0)
    for epoch, values in list_epochs(run.history):
        metrics += list_metrics(values, epoch)
    settings = list_settings(run.experiment)
    tags = {
        CHECKSUM: checksum,
        FOLDER: str(run.path.resolve()),
        "ecglib.hash": run.experiment.hash,
        "ecglib.caveats": ", ".join(run.caveats),
        "mlflow.note.content": describe_run(run),  # the description that MLflow shows
        "mlflow.source.git.commit": run.environment.commit,
    }
    client.log_batch(
        run_id,
        params=[Param(name, str(value)) for name, value in settings.items()],
        tags=[RunTag(name, value) for name, value in tags.items() if value],
    )
    for start in range(0, len(metrics), N_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + N_METRICS])
    client.set_terminated(run_id, FINISHED, finished)


@contextlib.contextmanager
def _set_defaults() -> Iterator[None]:
    """Set the variables that the user has not set, for as long as MLflow is used."""
    missing = {name: value for name, value in DEFAULTS.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
