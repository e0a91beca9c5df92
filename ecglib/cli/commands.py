"""The command ``ecglib``: datasets, prepare, check, batch, compare, export, predict."""

import argparse
import json
import sys
from pathlib import Path

from ecglib import paths
from ecglib.errors import BatchError, EcgError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 on success, 1 if it found something wrong, 2 on bad input."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except EcgError as error:
        print(f"ecglib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "ecglib: interrupted; what was finished is kept, run it again to go on", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ecglib", description="A fair referee for multimodal ECG models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, description):
        own = commands.add_parser(name, help=description, description=description)
        own.set_defaults(command=function)
        own.add_argument("--json", action="store_true", help="print JSON for scripts")
        return own

    data = {"default": paths.data_dir(), "type": Path, "help": "folder of the stores"}
    runs = {"default": paths.runs_dir(), "type": Path, "help": "folder of the runs"}
    named = {"action": "append", "default": [], "metavar": "NAME=VALUE"}
    kinds = {"action": "append", "default": [], "metavar": "PROBLEM"}
    source = {"help": "folder that holds the data as published; downloaded where there is none"}

    own = add("datasets", _datasets, "List the known datasets and the prepared stores.")
    own.add_argument("--data-dir", **data)

    own = add("prepare", _prepare, "Prepare a dataset once; say what was left out and why.")
    own.add_argument("dataset", help="name of a dataset, see `ecglib datasets`")
    own.add_argument("--source", **source)
    own.add_argument("--set", "-s", **named, help="an option of the dataset (YAML value)")
    own.add_argument(
        "--strict", action="store_true", help="stop at the first record that would be left out"
    )
    own.add_argument("--keep", **kinds, help="keep records with this problem, see problems.KINDS")
    own.add_argument("--exclude", **kinds, help="leave out records with this problem")
    own.add_argument("--data-dir", **data)

    own = add("check", _check, "Report on a store: signals, classes, leaks. Exit 1 on a leak.")
    own.add_argument("dataset", help="name of a dataset, or a store's folder")
    own.add_argument("--task", help="only this task")
    own.add_argument("--data-dir", **data)

    own = add("batch", _batch, "Make the missing runs of a batch file, compare, report.")
    own.add_argument("file", help="batch file, for example notebooks/batches/fusion.yaml")
    own.add_argument("--dataset", help="instead of the batch file's dataset")
    own.add_argument("--source", **source)
    own.add_argument("--set", "-s", **named, help="replace a common parameter (YAML value)")
    own.add_argument(
        "--jobs", type=int, default=0, help="runs at a time (default: cores, at most 4)"
    )
    own.add_argument("--data-dir", **data)
    own.add_argument("--runs-dir", **runs)

    own = add("compare", _compare, "Print the comparison of a batch's runs.")
    own.add_argument("batch", help="name of the batch, or its folder")
    own.add_argument("--metric", default="auroc", choices=["auroc", "auprc", "f1"])
    own.add_argument("--runs-dir", **runs)

    run = {"help": "the run: its folder, BATCH/RUN, or a part of its name such as the hash"}
    own = add("export", _export, "Write a run as one model, from millivolts to probabilities.")
    own.add_argument("run", **run)
    own.add_argument(
        "--format", action="append", default=[], help="keras, savedmodel or onnx (default: all)"
    )
    own.add_argument("--to", metavar="DIR", default="", help="default: export in the run's folder")
    own.add_argument("--data-dir", **data)
    own.add_argument("--runs-dir", **runs)

    own = add("predict", _predict, "Probabilities and decisions of a run for records.")
    own.add_argument("run", **run)
    own.add_argument(
        "records", nargs="+", metavar="RECORD", help="WFDB, CSV, EDF or NumPy file, or a folder"
    )
    own.add_argument("--rate", type=float, default=0.0, help="in Hz, of CSV and NumPy files")
    own.add_argument("--unit", default="", help="mV, uV, V or nV, of files that name none")
    own.add_argument("--leads", default="", help="of NumPy files, in order: I,II,V1")
    own.add_argument(
        "--start", type=float, action="append", default=[], metavar="S",
        help="start of a window in s (default: the middle of the record)",
    )  # fmt: skip
    own.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="a tabular value that the model looks at, such as age=63; repeatable",
    )
    own.add_argument("--pad", action="store_true", help="follow a short record by 0 mV")
    own.add_argument("--csv", metavar="FILE", help="also write the table to this file")
    own.add_argument("--runs-dir", **runs)
    return parser


def _datasets(options) -> int:
    from ecglib import datasets

    stores = [datasets.Dataset(path) for path in datasets.find_stores(options.data_dir)]
    if options.json:
        found = [{"path": str(s.path), **_brief(s)} for s in stores]
        return _print_json({"known": datasets.DESCRIPTIONS, "prepared": found})
    print("Known:")
    for name, description in datasets.DESCRIPTIONS.items():
        print(f"  {name:<12} {description}")
    print(f"Prepared below {options.data_dir}:" + ("" if stores else " none"))
    for store in stores:
        brief = _brief(store)
        print(f"  {store.path}: {brief['n_records']} records, {brief['n_windows']} windows")
    return 0


def named_values(pairs: list[str], option: str = "--set") -> dict:
    """What options of the form NAME=VALUE say; the values are YAML.

    Raises
    ------
    BatchError
        a pair has no ``=``.
    """
    import yaml

    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BatchError(f"{option} {pair}: expected NAME=VALUE.")
        values[name] = yaml.safe_load(value)
    return values


def _prepare(options) -> int:
    from ecglib import datasets

    dataset = datasets.prepare(
        options.dataset,
        options.data_dir,
        options.source,
        progress=not options.json,
        options=named_values(options.set),
        keep=options.keep,
        exclude=options.exclude,
        strict=options.strict,
    )
    if options.json:
        return _print_json({"path": str(dataset.path), **_brief(dataset)})
    _print_store(dataset)
    return 0


def _check(options) -> int:
    from ecglib import datasets
    from ecglib.splits import leaks_in
    from ecglib.splits.report import balance

    dataset = datasets.open_dataset(options.dataset, options.data_dir)
    names = [options.task] if options.task else list(dataset.tasks)
    selections = {name: dataset.select(name) for name in names}
    parts = {name: selection.task.part for name, selection in selections.items()}
    reports = {
        part: {kind: dataset.summary[kind][part] for kind in ("leaks", "duplicates", "people")}
        for part in dict.fromkeys(parts.values())
    }
    if options.json:
        found = {
            name: {
                "part": parts[name],
                "counts": selection.counts().to_dict(),
                "balance": balance(selection.y, selection.part, selection.classes),
                "leaks": reports[parts[name]]["leaks"],
            }
            for name, selection in selections.items()
        }
        near = dataset.summary["near_identical_records"]
        _print_json({"path": str(dataset.path), **_brief(dataset), "near_identical_records": near,
                     "tasks": found, "parts": reports})  # fmt: skip
    else:
        _print_store(dataset)
        for part, own in reports.items():
            _print_parts(part, own)
        for selection in selections.values():
            _print_task(selection)
    return int(any(leaks_in(own["leaks"]) for own in reports.values()))


def _batch(options) -> int:
    from ecglib import datasets
    from ecglib.batch import scheduling
    from ecglib.batch.file import BatchFile

    file = BatchFile.read(options.file, **named_values(options.set))
    dataset = datasets.prepare(
        options.dataset or file.dataset, options.data_dir, options.source, progress=not options.json
    )
    report = scheduling.run_batch(file, dataset, options.runs_dir, options.jobs)
    if options.json:
        _print_json(
            {
                "batch": str(report.folder),
                "made": report.made,
                "found": report.found,
                "failed": report.failed,
                "report": str(report.html),
            }
        )
        return int(bool(report.failed))
    if not report.made and not report.failed:
        print(f"Nothing was to do: all {len(report.found)} runs exist.")
    else:
        print(f"Runs made: {len(report.made)}, found: {len(report.found)}, "
              f"failed: {len(report.failed)}")  # fmt: skip
    for name, error in report.failed.items():
        print(f"  failed: {name}: {error}")
    _print_comparison(report.folder, "auroc")
    print(f"\nReport: {report.html}")
    return int(bool(report.failed))


def _compare(options) -> int:
    folder = Path(options.batch)
    if not folder.is_dir():
        folder = Path(options.runs_dir) / options.batch
    if options.json:
        from ecglib.batch.comparison import compare_runs
        from ecglib.runs import find_runs

        compared = compare_runs(find_runs(folder), options.metric)
        return _print_json(compared.to_dict())
    _print_comparison(folder, options.metric)
    return 0


def _export(options) -> int:
    from ecglib.runs import open_run

    run = open_run(options.run, options.runs_dir)
    from ecglib.inference.export import FILES, export_run

    done = export_run(run, options.to, options.format, options.data_dir)
    if options.json:
        return _print_json(
            {
                "path": str(done.path),
                "files": {name: FILES[name] for name in done.differences},
                "largest_difference": done.differences,
                "compared_with": done.compared_with,
                "excluded": done.excluded,
                "caveats": run.caveats,
            }
        )
    print(f"{done.path}, compared with {done.compared_with}:")
    for name, difference in done.differences.items():
        print(f"  {FILES[name]:<12} largest difference {difference:.1e}")
    for why in done.excluded.values():
        print(f"  left out: {why}")
    for caveat in run.caveats:
        print(f"  caveat: {caveat}")
    return 0


def _predict(options) -> int:
    from ecglib.runs import open_run

    run = open_run(options.run, options.runs_dir)
    from ecglib.inference.predict import Predictor
    from ecglib.inference.records import Given, find_records

    given = Given(
        rate_hz=options.rate,
        unit=options.unit,
        leads=tuple(name.strip() for name in options.leads.split(",") if name.strip()),
        starts_s=tuple(options.start),
        pad=options.pad,
        values=named_values(options.value, "--value"),
    )
    records = find_records(options.records)
    predictor = Predictor(run)
    predicted = predictor.predict_records(records, given)
    if options.csv:
        paths.write_text(Path(options.csv), predicted.table().to_csv(index=False))
    latency = predictor.latency(records, given) if predicted.windows else {}
    if options.json:
        _print_json(predicted.to_dict() | {"latency": latency})
    else:
        _print_predicted(run, predicted, latency)
    return int(bool(predicted.refused))


def _print_predicted(run, predicted, latency: dict) -> None:
    print(f"{run.experiment.model}, task {run.contract['task']} of {run.contract['dataset']}")
    for caveat in predicted.caveats:
        print(f"  caveat: {caveat}")
    for row, window in enumerate(predicted.windows):
        pairs = zip(run.contract["classes"], predicted.p[row], strict=True)
        print(f"{window.record} from {window.start_s:g} s: "
              f"{', '.join(predicted.decided(row)) or 'none'}  "
              f"({', '.join(f'{name} {p:.3f}' for name, p in pairs)})")  # fmt: skip
        for note in window.notes:
            print(f"  noted: {note}")
    for problem in predicted.refused:
        print(f"refused: {problem.record}: {problem.detail}")
    if latency:
        record_ms, model_ms = (1e3 * latency[name] for name in ("record_s", "model_s"))
        print(f"One record takes {record_ms:.1f} ms, {model_ms:.1f} ms of it the model; "
              f"all: {predicted.records_per_s:,.0f} records a second.")  # fmt: skip


def _print_comparison(folder: Path, metric: str) -> None:
    from ecglib.batch.comparison import compare_runs
    from ecglib.runs import find_runs

    print("\n" + compare_runs(find_runs(folder), metric).to_text())


def _print_store(dataset) -> None:
    summary = dataset.summary
    print(f"{dataset.path}: {summary['description']}")
    rate, n = dataset.signal.sampling_rate_hz, dataset.signal.n_samples
    print(f"  {summary['n_records']:,} records, {summary['n_windows']:,} windows of {n} samples at "
          f"{rate:g} Hz, leads {', '.join(dataset.signal.leads)}")  # fmt: skip
    for what, number in summary["excluded"].items():
        print(f"  left out: {what}: {number:,}")
    for what, number in summary["kept"].items():
        print(f"  noted and kept: {what}: {number:,}")
    if summary["excluded"] or summary["kept"]:
        print(f"  each record with its reason: {dataset.path / 'problems.csv'}")
    for caveat in dataset.caveats:
        print(f"  every run will carry the caveat: {caveat}")


def _print_parts(part: str, reports: dict) -> None:
    print(f"\nParts by the column {part!r}")
    for name, own in reports["people"].items():
        age, women = own["age"], own["women"]
        print(f"  {name}: {own['windows']:,} windows, {own['patients']:,} patients"
              + (f", age {age['median']:g} (median)" if age else "")
              + (f", {women['share']:.0%} women" if women else ""))  # fmt: skip
    shared = {"shared_patients": reports["leaks"]["shared_patients"]}
    for kind, found in (shared | reports["duplicates"]).items():
        print(f"  {kind.replace('_', ' ')}: {found['count']}")
        for example in found["examples"][:3]:
            print(f"    {example}")


def _print_task(selection) -> None:
    from ecglib.splits.report import balance

    print(f"\nTask {selection.task.name}: {selection.task.description}")
    print(selection.counts().to_string())
    print(f"  {balance(selection.y, selection.part, selection.classes)['statement']}")


def _brief(dataset) -> dict:
    keys = ("name", "fingerprint", "synthetic", "n_records", "n_windows", "signal", "excluded")
    return {key: dataset.summary[key] for key in keys} | {"tasks": list(dataset.tasks)}


def _print_json(values: dict) -> int:
    print(json.dumps(values, indent=1))
    return 0
