"""Whether batches survive being killed: ``make kill-check DATASET=ptbxl SOURCE=FOLDER``.

A grid of forty short runs is carried out twice: once undisturbed, and once while the batch, a
kernel, or everything at once is killed (SIGKILL) at random moments and the batch is started again;
with ``--dask``, the workers of a Dask scheduler.
The runs must have the same bits, and no run may be carried out twice.
"""

import argparse
import contextlib
import dataclasses
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import psutil
import yaml

from ecglib import datasets, runs

MODELS = (
    {"branches": {"time": "cnn"}, "fusion": "none"},
    {"branches": {"frequency": "cnn"}, "fusion": "none"},
    {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_average"},
    {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "intermediate_gated"},
)
PARAMETERS = {"width": 8, "feature_dim": 16, "epochs": 3, "steps_per_epoch": 12}
VICTIMS = ("batch", "kernel", "everything")
PORT = 18786
SECONDS_BETWEEN = (10.0, 60.0)
MAX_KILLS, MAX_STARTS = 20, 25
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "03_train.ipynb"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """The batch file and where it is carried out.

    Parameters
    ----------
    file : Path
        The batch file.
    arguments : sequence of str
        Of ``ecglib batch`` beside the file and the folder of runs.
    """

    file: Path
    arguments: Sequence[str]

    def start(self, runs_dir: Path) -> subprocess.Popen:
        """Start the batch in a process."""
        command = [sys.executable, "-m", "ecglib", "batch", str(self.file), *self.arguments]
        return subprocess.Popen(
            [*command, "--runs-dir", str(runs_dir)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, runs_dir: Path) -> None:
        """Carry the batch out undisturbed.

        Raises
        ------
        RuntimeError
            If a run fails.
        """
        process = self.start(runs_dir)
        _, errors = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(errors[-3000:])


class DaskCluster:
    """A scheduler and two workers of Dask on this machine, as a context.

    A worker may be killed, and is started again.
    """

    def __init__(self) -> None:
        self.address = f"tcp://127.0.0.1:{PORT}"

    def __enter__(self) -> Self:
        options = ["--host", "127.0.0.1", "--port", str(PORT), "--no-dashboard"]
        self._scheduler = self._start("scheduler", *options)
        self._workers = [self._start_worker(), self._start_worker()]
        return self

    def __exit__(self, *error: object) -> None:
        for process in (*self._workers, self._scheduler):
            process.kill()
            process.wait()

    def kill_worker(self, rng: random.Random) -> None:
        """Kill one of the workers, wait until nothing of it is left, and start another.

        Raises
        ------
        RuntimeError
            If something that it started goes on.
        """
        number = rng.randrange(len(self._workers))
        process = self._workers[number]
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _check_ended(children)
        self._workers[number] = self._start_worker()

    def _start_worker(self) -> subprocess.Popen:
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        return self._start("worker", self.address, *options)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write_grid(folder: Path, dataset: str, n_seeds: int) -> Path:
    """Write the batch file."""
    path = folder / "kill_check.yaml"
    content = {
        "notebook": str(NOTEBOOK),
        "dataset": dataset,
        "parameters": PARAMETERS,
        "grid": {"model": list(MODELS), "seed": list(range(n_seeds))},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def kill_repeatedly(
    grid: Grid, runs_dir: Path, seed: int, cluster: DaskCluster | None = None
) -> Counter:
    """Carry the batch out while something of it is killed again and again.

    Parameters
    ----------
    grid : Grid
        The batch.
    runs_dir : Path
        Folder of all batches.
    seed : int
        Seed of the moments and of what is killed.
    cluster : DaskCluster, optional
        Carries the runs out; its workers are killed then, and not the batch.

    Returns
    -------
    Counter
        How often each was killed.

    Raises
    ------
    RuntimeError
        If a finished run was written again, something of a killed batch goes on, or the batch does
        not finish.
    """
    rng = random.Random(seed)
    killed: Counter = Counter()
    written: dict[str, int] = {}
    process, n_starts = grid.start(runs_dir), 1
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(*SECONDS_BETWEEN))
        _check_written_once(runs_dir, written)
        if process.poll() == 0:
            return killed
        if process.poll() is None and killed.total() < MAX_KILLS:
            victim = "worker" if cluster else rng.choice(VICTIMS)
            if cluster:
                cluster.kill_worker(rng)
                killed[victim] += 1
            else:
                killed[victim] += _kill(process, victim, rng)
            print(f"killed: {victim}; {len(written)} runs are finished", flush=True)
        if process.poll() is not None:
            n_starts += 1
            if n_starts > MAX_STARTS:
                raise RuntimeError(f"The batch was started {n_starts} times and does not finish.")
            process = grid.start(runs_dir)


def _kill(process: subprocess.Popen, victim: str, rng: random.Random) -> int:
    """Kill a part of a batch; return whether there was such a part."""
    children = psutil.Process(process.pid).children(recursive=True)
    if victim == "kernel":
        # The kernels are the processes that have started nothing.
        leaves = [child for child in children if not child.children()]
        if leaves:
            rng.choice(leaves).kill()
        return int(bool(leaves))
    process.kill()
    if victim == "everything":
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.communicate()
    _check_ended(children)
    return 1


def _check_ended(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    if alive:
        raise RuntimeError(f"After what started them was killed, {alive} go on.")


def _check_written_once(runs_dir: Path, written: dict[str, int]) -> None:
    for metrics in runs_dir.glob(f"*/[!.]*/{runs.METRICS}"):
        modified = metrics.stat().st_mtime_ns
        if written.setdefault(metrics.parent.name, modified) != modified:
            raise RuntimeError(f"The run {metrics.parent.name} was carried out twice.")


def find_differences(first: Path, second: Path) -> Iterator[str]:
    """Find runs of two folders that differ in any bit of their predictions or weights."""
    one, other = (
        {run.path.name: run for run in runs.find_runs(next(folder.iterdir()))}
        for folder in (first, second)
    )
    yield from sorted(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        same = all(
            one[name].predictions(split).p.tobytes() == other[name].predictions(split).p.tobytes()
            for split in ("validation", "test")
        )
        if not same or not one[name].history.equals(other[name].history):
            yield name


def main() -> int:
    """Run the check.

    Returns
    -------
    int
        1 if a run differs.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--source", default="", help="folder with the published data")
    parser.add_argument("--seeds", type=int, default=10, help="of each of the four models")
    parser.add_argument("--random-seed", type=int, default=0, help="of what is killed when")
    parser.add_argument("--dask", action="store_true", help="kill the workers of a Dask scheduler")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = datasets.prepare(
            options.dataset, options.source or None, data_dir=folder / "data"
        )
        grid = Grid(
            file=write_grid(folder, options.dataset, options.seeds),
            arguments=["--dataset", str(dataset.path)],
        )
        started = time.perf_counter()
        if options.dask:
            with DaskCluster() as cluster:
                remote = ["--executor", "dask", "--scheduler", cluster.address]
                on_dask = dataclasses.replace(grid, arguments=[*grid.arguments, *remote])
                killed = kill_repeatedly(on_dask, folder / "killed", options.random_seed, cluster)
        else:
            killed = kill_repeatedly(grid, folder / "killed", options.random_seed)
        killed_s = time.perf_counter() - started
        started = time.perf_counter()
        grid.finish(folder / "undisturbed")
        undisturbed_s = time.perf_counter() - started
        differences = list(find_differences(folder / "undisturbed", folder / "killed"))
        n_runs = len(runs.find_runs(next((folder / "killed").iterdir())))
    print(
        f"{n_runs} runs, killed {killed.total()} times ({dict(killed)}): {killed_s:.0f} s against "
        f"{undisturbed_s:.0f} s; {len(differences)} differ {differences}"
    )
    return int(bool(differences))


if __name__ == "__main__":
    raise SystemExit(main())
