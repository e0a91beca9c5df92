"""The report of a batch: the comparison notebook, executed over its runs, as HTML."""

import hashlib
import json
import os
from pathlib import Path

from ecglib import paths, runs
from ecglib.batch.notebooks import ProcessGroup, check_parameters, execute_notebook
from ecglib.errors import BatchError

WORK_FOLDER = ".work"  # in the folder of a batch: notebooks that are being executed
MAX_ERROR_CHARACTERS = 2000


def write_report(notebook: Path, folder: Path) -> Path:
    """Execute a comparison notebook over the runs of a batch, and write ``report.html``.

    Nothing is executed if neither the notebook nor a score has changed since the last report.

    Parameters
    ----------
    notebook : Path
        The notebook; its parameter ``batch_dir`` is the folder.
    folder : Path
        Folder of the batch.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    BatchError
        If the notebook has no such parameter, or an error occurs in it.
    RunError
        If there is no run.

    Examples
    --------
    From the checkout, for a batch that was carried out::

        write_report(Path("notebooks/04_compare.ipynb"), Path("runs") / name_of_the_batch)

    A batch without a finished run has no report:

    >>> write_report(Path("notebooks/04_compare.ipynb"), Path("runs/none"))
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    report = folder / "report.html"
    hashes = _hash_contents(notebook, folder)
    stamp = folder / WORK_FOLDER / "compared.json"
    if report.exists() and stamp.exists() and json.loads(stamp.read_text()) == hashes:
        return report
    executed = folder / WORK_FOLDER / "compare.ipynb"
    executed.parent.mkdir(exist_ok=True)
    parameters = {"batch_dir": str(folder)}
    check_parameters(notebook, parameters)
    with ProcessGroup() as processes:
        result = execute_notebook(notebook, executed, parameters, dict(os.environ), processes)
    if result.exit_status:
        raise BatchError(
            f"{notebook.name} failed on {folder} (see {executed}): "
            f"{result.errors[-MAX_ERROR_CHARACTERS:]}"
        )
    html = _convert_to_html(executed)
    os.replace(executed, folder / "compare.ipynb")
    paths.write_text(report, html)
    paths.write_json(stamp, hashes)
    return report


def _convert_to_html(notebook: Path) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True)
    html, _ = exporter.from_filename(str(notebook))
    return html


def _hash_contents(notebook: Path, folder: Path) -> dict[str, str]:
    """Hash what a report is made from: the notebook, and the scores of each run."""
    files = {run.path.name: run.path / "metrics.json" for run in runs.find_runs(folder)}
    files[notebook.name] = notebook
    return {name: hashlib.blake2b(path.read_bytes()).hexdigest() for name, path in files.items()}
