"""The gallery: every notebook executed at a small size, as a page, and a card with a picture of it.

Executed notebooks are reused as long as the notebook, its parameters and the code of ``ecglib`` and
``tuning`` are the same. ``ECG_GALLERY=off`` builds the pages from the notebooks as they are,
without outputs; ``ECG_GALLERY=FOLDER`` executes in that folder, or reuses what it has.
"""

import base64
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image
from tqdm.auto import tqdm

import ecglib
from ecglib import paths
from ecglib.batch.notebooks import NotebookTask, check_parameters, execute_notebook
from ecglib.batch.processes import ProcessGroup
from ecglib.batch.workers import WorkerPool
from ecglib.experiment.environment import hash_code

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "docs" / "generated" / "executed"
PAGES = "notebooks"  # folder of the pages, in that of the generated ones
SWITCH = "ECG_GALLERY"
N_PROCESSES = 2
N_PATIENTS = 80
THUMBNAIL = (640, 400)  # pixels
# The folders of a notebook are beside it, so that no page shows where it was executed.
VARIABLES = {
    "ECGLIB_DATA": "data",
    "ECGLIB_RUNS": "runs",
    "ECGLIB_SEARCHES": "searches",
    # Expected of so few windows: the test split has about a dozen.
    "PYTHONWARNINGS": "ignore:No window of the:UserWarning",
}
HIDDEN_VARIABLES = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "PYTEST_CURRENT_TEST")
CONTROL = re.compile(r"\x1b\[\w")  # moves the cursor
BAR = re.compile(r"%\||\d+\w* \[\d\d:")  # with and without a known end
SMALL = {"epochs": 3, "width": 8, "feature_dim": 16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A notebook of the gallery.

    Parameters
    ----------
    title : str
        Title of its card.
    sentence : str
        What it does.
    parameters : mapping of str to object, default {}
        Those that differ from its defaults.
    takes_dataset : bool, default False
        Whether it gets the prepared dataset as its parameter ``dataset``.
    picture : int, default 0
        Which of its pictures is on the card; -1 for the last.
    after : str, default ""
        The notebook that has to be executed before, whose runs it reads.
    """

    title: str
    sentence: str
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes_dataset: bool = False
    picture: int = 0
    after: str = ""


ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        "01_dataset": Entry(
            title="Dataset",
            sentence="Classes, excluded records, leaks between the splits, an ECG of each class.",
            takes_dataset=True,
            picture=1,
        ),
        "02_representations": Entry(
            title="Representations",
            sentence="One window as time series, spectrum, spectrogram and scalogram.",
            takes_dataset=True,
        ),
        "03_train": Entry(
            title="Train",
            sentence="One experiment: its settings, its scores with intervals, its calibration.",
            parameters={**SMALL, "branches": {"time": "cnn", "spectrogram": "cnn2d"}},
            takes_dataset=True,
            picture=1,
        ),
        "04_compare": Entry(
            title="Compare",
            sentence="Does a fusion add anything over its branches, an ensemble, a larger branch?",
            parameters={"batch_dir": "runs/own_data"},
            picture=1,
            after="09_own_data",
        ),
        "05_explain": Entry(
            title="Explain",
            sentence="Why a run gives a class to a record, and whether the explanation holds.",
            parameters={"run": "gated", "n_examples": 1, "n_mean_beats": 1, "max_windows": 10},
            after="03_train",
        ),
        "06_robustness": Entry(
            title="Robustness",
            sentence="What noise, lost leads and lost branches cost each model.",
            parameters={
                "batch_dir": "runs/own_data",
                "disturbances": {"white_noise": [12, 0], "lost_leads": [1], "clipping": [0.25]},
            },
            after="09_own_data",
        ),
        "07_tuning": Entry(
            title="Tune",
            sentence="A search over representations, encoders, fusions and their settings.",
            parameters={
                "trials": 2,
                "epochs": 2,
                "finalists": 2,
                "finalist_seeds": 2,
                "seed": 486,  # two small models
                "settings": {"width": 4, "feature_dim": 8},
            },
            takes_dataset=True,
            picture=1,
        ),
        "08_predict": Entry(
            title="Predict",
            sentence="Probabilities and decisions of a run, drawn beside the ECG.",
            parameters={"run": "gated"},
            after="03_train",
        ),
        "09_own_data": Entry(
            title="Your own data",
            sentence="From a folder of CSV files and a label table to a verdict.",
            parameters={"n_patients": N_PATIENTS, "epochs": 2, "width": 4, "seeds": [0]},
            picture=2,
        ),
    }
)


def write_pages(folder: Path) -> None:
    """Write a page for each notebook, their pictures and the cards, into ``folder/notebooks``."""
    pages = folder / PAGES
    pages.mkdir(parents=True, exist_ok=True)
    place = os.environ.get(SWITCH, "")
    executed = {} if place == "off" else execute_all(Path(place) if place else EXECUTED)
    for stem in ENTRIES:
        page = read_notebook(executed.get(stem, NOTEBOOKS / f"{stem}.ipynb"))
        paths.write_text(pages / f"{stem}.ipynb", json.dumps(make_page(page, stem in executed)))
        picture = pages / f"{stem}.png"
        picture.unlink(missing_ok=True)
        if stem in executed:
            picture.write_bytes(make_thumbnail(find_pictures(page)[ENTRIES[stem].picture]))
    paths.write_text(pages / "cards.txt", format_cards(set(executed)))


def execute_all(folder: Path) -> dict[str, Path]:
    """Execute all notebooks at a small size, two at a time, and show the progress.

    Parameters
    ----------
    folder : Path
        Folder of the executed notebooks. Those that are up to date are reused; what earlier
        versions of the code left is removed.

    Returns
    -------
    dict of str to Path
        Name of the notebook -> the executed one.

    Raises
    ------
    RuntimeError
        If a notebook fails; the message has its traceback.
    """
    # This file has the parameters.
    code = hash_code(ROOT, ("ecglib", "tuning", Path(__file__).relative_to(ROOT).as_posix()))
    place = folder.resolve() / code
    executed = {stem: place / f"{stem}-{_hash_notebook(stem)}.ipynb" for stem in ENTRIES}
    missing = [stem for stem, path in executed.items() if not path.exists()]
    if missing:
        place.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(place):  # the folder of the kernels
            data = ecglib.prepare("synthetic", data_dir="data", options={"n_patients": N_PATIENTS})
            _execute(missing, executed, f"data/{data.path.name}")
        for other in folder.iterdir():
            if other.name != code:
                shutil.rmtree(other, ignore_errors=True)
    return executed


def _execute(stems: Sequence[str], executed: Mapping[str, Path], dataset: str) -> None:
    """Execute notebooks, those that read the runs of others last."""
    environment = {k: v for k, v in os.environ.items() if k not in HIDDEN_VARIABLES} | VARIABLES
    with (
        ProcessGroup() as processes,
        WorkerPool(processes, environment) as workers,
        concurrent.futures.ThreadPoolExecutor(N_PROCESSES) as threads,
        tqdm(total=len(stems), desc="notebooks", unit="notebook") as bar,
    ):
        run = functools.partial(_execute_one, executed=executed, dataset=dataset, workers=workers)
        for is_later in (False, True):
            now = [stem for stem in stems if bool(ENTRIES[stem].after) == is_later]
            futures = {threads.submit(run, stem): stem for stem in sorted(now, reverse=True)}
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except BaseException:
                    threads.shutdown(wait=False, cancel_futures=True)
                    processes.end()
                    raise
                bar.set_postfix_str(futures[future])
                bar.update()


def _execute_one(
    stem: str, *, executed: Mapping[str, Path], dataset: str, workers: WorkerPool
) -> None:
    entry, source = ENTRIES[stem], NOTEBOOKS / f"{stem}.ipynb"
    parameters = dict(entry.parameters) | ({"dataset": dataset} if entry.takes_dataset else {})
    check_parameters(source, parameters)
    unfinished = executed[stem].with_name(f".{stem}.unfinished.ipynb")
    task = NotebookTask(
        notebook=source,
        executed=unfinished,
        parameters=parameters,
        log=unfinished.with_suffix(".log"),
    )
    result = execute_notebook(task, workers)
    if result.exit_status:
        raise RuntimeError(f"{source} failed:\n{result.output}")
    unfinished.rename(executed[stem])


def _hash_notebook(stem: str) -> str:
    """Hash a notebook, and the one whose runs it reads."""
    digest = hashlib.blake2b((NOTEBOOKS / f"{stem}.ipynb").read_bytes(), digest_size=6)
    if first := ENTRIES[stem].after:
        digest.update(_hash_notebook(first).encode())
    return digest.hexdigest()


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook as plain values."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_page(notebook: Mapping[str, Any], is_executed: bool) -> dict[str, Any]:
    """Make the page of a notebook.

    Metadata of papermill, which names folders of this machine, and progress bars are removed; a
    note says that the numbers are those of a small example.
    """
    cells = []
    for cell in notebook["cells"]:
        tags = [tag for tag in cell["metadata"].get("tags", []) if not tag.startswith("papermill")]
        page = {**cell, "metadata": {"tags": tags} if tags else {}}
        if "outputs" in cell:
            page["outputs"] = [one for one in cell["outputs"] if not _is_progress(one)]
            for output in page["outputs"]:  # a page narrower than a picture keeps its shape
                output.get("metadata", {}).get("image/png", {}).pop("height", None)
        cells.append(page)
    if is_executed:
        note = (
            f":::{{note}}\nExecuted for this page at a small size (simulated ECGs of {N_PATIENTS} "
            f"patients, few epochs), so its numbers mean nothing.\n:::"
        )
        cells.insert(1, {"cell_type": "markdown", "id": "note", "metadata": {}, "source": note})
    return {
        "cells": cells,
        "metadata": {"kernelspec": notebook["metadata"]["kernelspec"]},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _is_progress(output: Mapping[str, Any]) -> bool:
    """Tell whether an output is a progress bar, as a widget or as text."""
    if output.get("name") == "stderr":
        text = CONTROL.sub("", "".join(output["text"]))
        return not text.strip() or BAR.search(text) is not None
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def find_pictures(notebook: Mapping[str, Any]) -> list[bytes]:
    """Find the pictures of an executed notebook, as PNG."""
    return [png for png, _ in _list_pictures(notebook)]


def _list_pictures(notebook: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Yield each picture with its alternative text."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                png = base64.b64decode("".join(output["data"]["image/png"]))
                yield png, output["metadata"].get("image/png", {}).get("alt", "")


def make_thumbnail(png: bytes) -> bytes:
    """Make the picture of a card: the upper left part of a picture, on white."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    width, height = picture.size
    # Of a picture that is wider or higher than the card, what a reader sees first.
    ratio = THUMBNAIL[0] / THUMBNAIL[1]
    picture = picture.crop((0, 0, min(width, round(2 * ratio * height)), height))
    picture = picture.crop((0, 0, picture.width, min(height, round(1.2 * picture.width / ratio))))
    picture.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    card = Image.new("RGB", THUMBNAIL, "white")
    card.paste(picture, tuple((a - b) // 2 for a, b in zip(THUMBNAIL, picture.size, strict=True)))
    buffer = io.BytesIO()
    card.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def format_cards(with_picture: set[str]) -> str:
    """Format the grid of cards, as MyST Markdown to be included in ``docs/gallery.md``."""
    cards = []
    for stem, entry in ENTRIES.items():
        options = [f":link: generated/{PAGES}/{stem}", ":link-type: doc"]
        if stem in with_picture:
            options += [f":img-top: generated/{PAGES}/{stem}.png", f":img-alt: {entry.sentence}"]
        lines = [f":::{{grid-item-card}} {entry.title}", *options, "", entry.sentence, ":::"]
        cards.append("\n".join(lines))
    return "::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n\n".join(cards) + "\n::::\n"


def add_alternative_texts(app: Any, doctree: Any) -> None:
    """Give the pictures of a page the alternative texts of its notebook, which MyST-NB drops."""
    from docutils import nodes

    docname = app.env.docname
    page = Path(app.srcdir) / f"{docname}.ipynb"
    if f"/{PAGES}/" not in docname or not page.exists():
        return
    # MyST-NB names a picture by the hash of its bytes.
    texts = {
        hashlib.sha256(png).hexdigest(): alt for png, alt in _list_pictures(read_notebook(page))
    }
    for node in doctree.findall(nodes.image):
        if text := texts.get(Path(node["uri"]).stem):
            node["alt"] = text
