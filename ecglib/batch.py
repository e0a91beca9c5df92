"""Many runs with papermill: check everything, run what is missing, compare, report.

A batch file (YAML) says which notebook runs over which parameters::

    notebook: ../03_train.ipynb      # paths are relative to the batch file
    compare: ../04_compare.ipynb
    dataset: synthetic
    parameters: {task: superdiagnostic, epochs: 15}
    grid:                            # every combination of one entry of each axis
      model:                         # an entry is a dict of parameters ...
        - {branches: {time: cnn}, fusion: none}
        - {branches: {time: cnn, frequency: cnn}, fusion: early_concat}
      seed: [0, 1]                   # ... or a value of the parameter that names the axis
    ensembles_of_best_branch: [2]    # the one control: members of each ensemble
    widened_best_branch: true        # the other: one model with as many parameters as a fusion

The controls are made of the single branch that scores best on the validation part, and run last.
There is one widened model for all fusions of about one size (`ecglib.experiment.SAME_SIZE`), as
large as the largest of them: one a fusion would double the batch, and ways of joining the same
branches differ little in size. None is made for fusions about as large as the branch itself.
"""

import ast
import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml
from tqdm.auto import tqdm

from ecglib import folders, runs
from ecglib.datasets.store import Dataset
from ecglib.errors import BatchError, did_you_mean
from ecglib.experiment import SAME_SIZE, Experiment

KEYS = {
    *("notebook", "compare", "dataset", "parameters", "grid"),
    *("ensembles_of_best_branch", "widened_best_branch"),
}
NEEDED = {"notebook", "compare", "dataset", "grid"}
WORK = ".work"
FAILED = "failed"
# Jupyter chooses the ports of a kernel before the kernel takes them. Where several start at a time
# one may find them taken, before a cell was executed (papermill issue 511): it is started again.
NOT_STARTED, MOST_STARTS = "Kernel died before replying to kernel_info", 3
MOST_JOBS = 4


@dataclasses.dataclass(frozen=True)
class BatchFile:
    """A batch file, read and checked; see the module for its form."""

    path: Path
    notebook: Path
    compare: Path
    dataset: str
    parameters: dict
    grid: dict
    ensembles: list
    widened: bool

    @classmethod
    def read(cls, path: str | Path, **override) -> "BatchFile":
        """Read a batch file; `override` replaces common parameters.

        Raises
        ------
        BatchError
            the file is missing, is no YAML mapping or has an unknown key.
        """
        path = Path(path)
        try:
            values = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BatchError(f"The batch file {path} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise BatchError(f"The batch file {path} is no mapping; expected {sorted(KEYS)}.")
        if unknown := set(values) - KEYS:
            raise BatchError(
                f"{path} has the unknown keys {sorted(unknown)}; known: {sorted(KEYS)}."
            )
        if missing := NEEDED - set(values):
            raise BatchError(f"{path} lacks {sorted(missing)}.")
        parameters = values.get("parameters", {})
        ensembles = values.get("ensembles_of_best_branch", [])
        widened = values.get("widened_best_branch", False)
        _check_types(path, parameters, values["grid"], ensembles, widened)
        return cls(
            path=path,
            notebook=_notebook(path, values["notebook"]),
            compare=_notebook(path, values["compare"]),
            dataset=values["dataset"],
            parameters=parameters | override,
            grid=values["grid"],
            ensembles=ensembles,
            widened=widened,
        )

    def combinations(self) -> list[dict]:
        """The parameters of each run of the grid."""
        axes = [
            [entry if isinstance(entry, dict) else {name: entry} for entry in entries]
            for name, entries in self.grid.items()
        ]
        return [
            dict(item for values in (self.parameters, *entries) for item in values.items())
            for entries in itertools.product(*axes)
        ]


def named_values(pairs: list[str], option: str = "--set") -> dict:
    """What options of the form NAME=VALUE say; the values are YAML.

    Raises
    ------
    BatchError
        a pair has no ``=``.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BatchError(f"{option} {pair}: expected NAME=VALUE.")
        values[name] = yaml.safe_load(value)
    return values


def _check_types(path: Path, parameters, grid, ensembles, widened) -> None:
    if not isinstance(parameters, dict):
        raise BatchError(f"{path}: parameters must map names to values, found {parameters!r}.")
    lists = isinstance(grid, dict) and all(
        isinstance(axis, list) and axis for axis in grid.values()
    )
    if not grid or not lists:
        raise BatchError(
            f"{path}: grid must map each axis to a list of values or of dicts of parameters, as in "
            f"`seed: [0, 1]`; found {grid!r}."
        )
    if not isinstance(ensembles, list) or not all(isinstance(n, int) and n > 1 for n in ensembles):
        raise BatchError(
            f"{path}: ensembles_of_best_branch must list numbers of members above 1, as in [3]; "
            f"found {ensembles!r}."
        )
    if not isinstance(widened, bool):
        raise BatchError(f"{path}: widened_best_branch must be true or false, found {widened!r}.")


def check_parameters(notebook: Path, parameters: dict) -> dict:
    """Hold parameters against a notebook, which papermill does not do.

    Parameters
    ----------
    notebook
        the notebook, with a cell tagged ``parameters``.
    parameters
        what is to be given to it.

    Returns
    -------
    The notebook's parameters with their defaults, those given replaced.

    Raises
    ------
    BatchError
        a name that the notebook does not know, or a value of another type than its
        default's.
    """
    defaults = notebook_defaults(notebook)
    for name, value in parameters.items():
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            raise BatchError(
                f"{notebook.name} has no parameter {name!r}; it has {sorted(defaults)}.{hint}"
            )
        wanted, given = type(defaults[name]), type(value)
        if given is not wanted and not (wanted is float and given is int):
            raise BatchError(
                f"Parameter {name}={value!r} of {notebook.name} is {given.__name__}, expected "
                f"{wanted.__name__} as in its default {defaults[name]!r}."
            )
    return defaults | parameters


def notebook_defaults(notebook: Path) -> dict:
    """The parameters of a notebook with their default values.

    Raises
    ------
    BatchError
        there is no parameters cell, or a default is no plain literal.
    """
    cells = json.loads(notebook.read_text())["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise BatchError(f"{notebook} has {len(tagged)} cells tagged 'parameters', expected one.")
    defaults = {}
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        try:
            defaults[statement.targets[0].id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise BatchError(
                f"The parameters cell of {notebook} may only hold `name = literal`, found: "
                f"{ast.unparse(statement)}"
            ) from None
    return defaults


@dataclasses.dataclass(frozen=True)
class Job:
    """One run to be made: its own parameters, and all that the notebook is given."""

    experiment: Experiment
    own: dict
    parameters: dict
    path: Path


@dataclasses.dataclass
class Report:
    """What a batch did: runs made, runs found finished, and failures with their last lines."""

    batch: str
    folder: Path
    made: list[str] = dataclasses.field(default_factory=list)
    found: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    html: Path | None = None


def run_batch(
    file: BatchFile, dataset: Dataset, runs_dir: str | Path = "", jobs: int = 0
) -> Report:
    """Make the runs that are missing, then compare all and write ``report.html``.

    Parameters
    ----------
    file
        the batch file.
    dataset
        the prepared store.
    runs_dir
        folder of all batches; empty for the usual one (`ecglib.folders`).
    jobs
        runs at a time; 0 for one a core, at most 4. The cores are shared out among them.

    Raises
    ------
    BatchError
        a parameter is wrong, or nothing finished; nothing was started if a parameter
        is wrong.
    """
    name = f"{file.path.stem}-{dataset.path.name}"
    runs_dir = folders.runs_dir(runs_dir).resolve()
    given = {
        "dataset": str(dataset.path.resolve()),
        "runs_dir": str(runs_dir),
        "batch": name,
    }
    folder = runs_dir / name
    report = Report(name, folder)
    jobs = jobs or min(os.cpu_count() or 1, MOST_JOBS)
    grid = [_job(file, own, given, dataset, folder) for own in file.combinations()]
    grid = _without_twins(grid)
    _run(file.notebook, grid, report, jobs, "runs")
    controls = _controls(file, grid, given, dataset, folder)
    _run(file.notebook, controls, report, jobs, "controls")
    if not report.made and not report.found:
        raise BatchError(f"No run of {name} finished: {report.failed}")
    report.html = _compare(file.compare, folder, report)
    return report


def _job(file: BatchFile, own: dict, given: dict, dataset: Dataset, folder: Path) -> Job:
    """A checked job; see `check_parameters` and `Experiment.check` for the errors."""
    if taken := set(own) & set(given):
        raise BatchError(f"{file.path} sets the parameters {sorted(taken)}; the batch gives them.")
    values = check_parameters(file.notebook, own | given)
    experiment = Experiment.from_parameters(values, dataset.name, dataset.fingerprint)
    experiment.check(dataset)
    return Job(experiment, own, own | given, folder / experiment.run_name)


def _without_twins(jobs: list[Job]) -> list[Job]:
    """Refuse to make a run twice, but for trees: an axis of learning rates, say, is not theirs."""
    names = [job.path.name for job in jobs if job.experiment.role != "baseline"]
    if twins := {name for name in names if names.count(name) > 1}:
        raise BatchError(f"The grid asks for the same run more than once: {sorted(twins)}.")
    return list({job.path: job for job in jobs}.values())


def _controls(
    file: BatchFile, grid: list[Job], given: dict, dataset: Dataset, folder: Path
) -> list[Job]:
    """The controls, made of the best single branch, one for each of its seeds and each size."""
    best = _best_branch(grid)
    if not best:
        return []
    changes = [{"members": members} for members in file.ensembles]
    if file.widened:
        changes += [{"widen_to": size} for size in _sizes(grid, _parameters(best[0]))]
    return [
        _job(file, job.own | change, given, dataset, folder) for change in changes for job in best
    ]


def _best_branch(grid: list[Job]) -> list[Job]:
    """The seeds of the single branch with the highest validation score; empty without any."""
    by_model: dict[str, list[Job]] = {}
    for job in grid:
        if job.experiment.role == "single" and runs.exists(job.path):
            by_model.setdefault(job.experiment.model_hash, []).append(job)

    def validation_auroc(jobs: list[Job]) -> float:
        scores = [
            runs.Run(j.path).metrics["validation"]["macro"]["auroc"]["estimate"] for j in jobs
        ]
        return sum(scores) / len(scores)

    return max(by_model.values(), key=validation_auroc, default=[])


def _sizes(grid: list[Job], smallest: int) -> list[int]:
    """Sizes, largest first, so that each fusion has one about its own and none is smaller than it.

    Fusions about as large as the `smallest` size, or smaller, need none.
    """
    fusions = [j for j in grid if j.experiment.role == "fusion" and runs.exists(j.path)]
    sizes: list[int] = []
    for size in sorted(map(_parameters, fusions), reverse=True):
        if size > SAME_SIZE * smallest and (not sizes or sizes[-1] > SAME_SIZE * size):
            sizes.append(size)
    return sizes


def _parameters(job: Job) -> int:
    return runs.Run(job.path).metrics["model"]["parameters"]


def _run(notebook: Path, jobs: list[Job], report: Report, at_once: int, what: str) -> None:
    """Make the missing runs, a bounded number at a time; one that fails stops no other."""
    for job in jobs:
        if runs.exists(job.path):
            _keep_notebook(job)
            report.found.append(job.path.name)
    missing = [job for job in jobs if not runs.exists(job.path)]
    if not missing:
        return
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    bar = tqdm(total=len(missing), desc=f"{report.batch}: {what}", unit="run")
    with _Processes() as processes, ThreadPoolExecutor(at_once) as pool, bar:
        futures = {pool.submit(_execute, notebook, job, threads, processes): job for job in missing}
        try:
            for future in as_completed(futures):
                job, error = futures[future], future.result()
                if error:
                    report.failed[job.path.name] = error
                    bar.write(f"failed: {job.path.name}: {error}", file=sys.stderr)
                else:
                    report.made.append(job.path.name)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()  # or leaving the pool would wait for them
            raise


def _execute(notebook: Path, job: Job, threads: str, processes: "_Processes") -> str:
    """Execute one notebook in a process of its own; return what went wrong, or nothing."""
    executed = _executed(job)
    executed.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"ECGLIB_THREADS": threads, "OMP_NUM_THREADS": threads}
    command = _papermill(notebook, executed, job.parameters)
    code, errors = _run_kernel(command, environment, processes)
    if code == 0 and runs.exists(job.path):
        _keep_notebook(job)
        return ""
    kept = job.path.parent / FAILED / executed.name
    kept.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(executed, kept)
    lines = [line for line in errors.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit status {code}, no run written") + f" (see {kept})"


def _run_kernel(command: list[str], environment: dict, processes: "_Processes") -> tuple[int, str]:
    """Exit status and standard error of papermill, whose kernel may need several starts."""
    for _ in range(MOST_STARTS):
        code, errors = processes.run(command, environment)
        if code == 0 or NOT_STARTED not in errors:
            break
    return code, errors


def _executed(job: Job) -> Path:
    return job.path.parent / WORK / f"{job.path.name}.ipynb"


def _keep_notebook(job: Job) -> None:
    """Move the executed notebook into its run; the run itself was already whole."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(_executed(job), job.path / "train.ipynb")


def _papermill(notebook: Path, executed: Path, parameters: dict) -> list[str]:
    return [
        *(sys.executable, "-m", "papermill", str(notebook), str(executed)),
        *("--no-progress-bar", "--log-level", "ERROR", "--kernel", "python3"),
        *("--parameters_yaml", yaml.safe_dump(parameters)),
    ]


class _Processes:
    """The processes of a batch; all of them end when the batch is interrupted."""

    def __init__(self):
        self._own, self._lock, self._ended = set(), threading.Lock(), False

    def __enter__(self):
        self._previous = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, error_type, *_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous)
        if error_type is not None:
            self.end()

    def end(self) -> None:
        """End every process, and start none any more."""
        with self._lock:
            self._ended = True
            for process in self._own:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, command: list[str], environment: dict) -> tuple[int, str]:
        """Exit status and standard error of a command in a process group of its own."""
        with self._lock:
            if self._ended:
                return 1, "interrupted"
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._own.add(process)
        errors = process.communicate()[1]
        with self._lock:
            self._own.discard(process)
        return process.returncode, errors


def _compare(notebook: Path, folder: Path, report: Report) -> Path:
    """Execute the comparison over a batch's folder and write it as HTML, unless nothing changed."""
    html = folder / "report.html"
    listed = sorted(run.path.name for run in runs.find_runs(folder))
    stamp = folder / WORK / "compared.json"
    if html.exists() and stamp.exists() and json.loads(stamp.read_text()) == listed:
        return html
    executed = folder / WORK / "compare.ipynb"
    executed.parent.mkdir(exist_ok=True)
    parameters = {"batch_dir": str(folder)}
    check_parameters(notebook, parameters)
    with _Processes() as processes:
        command = _papermill(notebook, executed, parameters)
        code, errors = _run_kernel(command, dict(os.environ), processes)
    if code:
        raise BatchError(f"{notebook.name} failed on {folder} (see {executed}): {errors[-2000:]}")
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_filename(str(executed))
    os.replace(executed, folder / "compare.ipynb")
    folders.write_text(html, body)
    folders.write_text(stamp, json.dumps(listed))
    return html


def _notebook(batch_file: Path, given: str) -> Path:
    path = (batch_file.parent / given).resolve()
    if not path.is_file():
        raise BatchError(f"{batch_file} names the notebook {given}, but {path} is not there.")
    return path
