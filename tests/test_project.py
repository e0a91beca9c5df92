"""The project's own files agree with each other."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_is_in_step_with_pyproject():
    python, pip_word, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip_word == "pip"
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], "-e ."]
    assert sorted(pip["pip"]) == sorted(wanted)


def test_the_lock_pins_and_hashes_every_dependency_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    pinned = {match.lower() for match in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in wanted}
    assert names <= pinned
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
    assert "://" not in text


IMPORTS_FROM = {
    "errors": set(),
    "folders": set(),
    "quiet": set(),
    "dealing": set(),
    "splits": {"errors", "dealing"},
    "split_report": {"errors", "splits"},
    "datasets": {"errors", "splits", "split_report", "folders"},
    "branches": {"errors"},
    "cross_validation": {"splits"},
    "experiment": {"errors", "splits", "branches", "cross_validation"},
    "preprocessing": {"errors", "quiet"},
    "representations": {"errors", "quiet", "preprocessing", "datasets"},
    "pipeline": {"errors", "quiet", "datasets"},
    "augmentation": {"errors", "quiet", "preprocessing", "datasets"},
    "models": {"errors", "quiet", "branches"},
    "classical": {"quiet", "errors", "datasets", "experiment", "representations"},
    "evaluation": {"errors", "experiment"},
    "runs": {"errors", "folders", "experiment", "models", ""},
    "recipe": {"quiet", "errors", "experiment"},
    "imbalance": {"experiment"},
    "scaling": {"models", "representations"},
    "validation": {"quiet", "datasets", "evaluation"},
    "training": {
        *("quiet", "folders", "models", "pipeline", "runs", "datasets", "evaluation"),
        *("experiment", "branches", "errors", "augmentation", "graph", "recipe"),
        *("classical", "imbalance", "scaling", "validation", "cross_validation"),
    },
    "onnx_ops": {"quiet", "errors"},
    "recordings": {"errors", "datasets"},
    "graph": {"quiet", "errors", "datasets", "experiment", "evaluation", "representations"},
    "export": {
        *("quiet", "errors", "folders", "runs", "datasets", "models", "onnx_ops", "graph"),
    },
    "predict": {"quiet", "errors", "runs", "datasets", "evaluation", "export", "recordings"},
    "plots": {"errors"},
    "notebooks": {"errors"},
    "batch_file": {"errors"},
    "batch": {*("errors", "folders", "runs", "datasets", "experiment"), "notebooks", "batch_file"},
    "cli": {
        *("errors", "folders", "runs", "datasets", "splits", "split_report", "batch"),
        *("batch_file", "evaluation", "export", "predict", "recordings"),
    },
    "__main__": {"cli"},
    "": set(),
}


def room(path):
    parts = path.relative_to(ROOT / "ecglib").with_suffix("").parts
    return "" if parts[0] == "__init__" else parts[0]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            joined = [f"{node.module}.{alias.name}" for alias in node.names]
            names = joined if node.module == "ecglib" else [node.module]
        for name in names:
            if name.split(".")[0] == "ecglib":
                rest = name.split(".")[1:]
                yield rest[0] if rest and not rest[0].startswith("__version") else ""


@pytest.mark.parametrize("path", sorted((ROOT / "ecglib").rglob("*.py")), ids=lambda p: p.stem)
def test_rooms_import_one_way(path):
    own = room(path)
    assert set(imported_rooms(path)) - {own} <= IMPORTS_FROM[own]


def test_only_the_pipeline_and_one_kernel_import_tensorflow():
    pattern = re.compile(r"^\s*(import|from) tensorflow", re.MULTILINE)
    files = {p.name for p in (ROOT / "ecglib").rglob("*.py") if pattern.search(p.read_text())}
    assert files == {"pipeline.py", "normalisation.py"}


def test_no_lambda_layers():
    assert not [p for p in (ROOT / "ecglib").rglob("*.py") if "layers.Lambda" in p.read_text()]
