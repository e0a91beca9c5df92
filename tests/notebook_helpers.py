"""Executing a notebook as a user does, and reading what it shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS, DOCS = ROOT / "notebooks", ROOT / "docs"


def environment():
    """A user's environment: under pytest, ipykernel would not show what goes to standard error.

    Two warnings are expected of the small stores: a class is never predicted, and a tabular column
    tells the class.
    """
    set_by_pytest = ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
    variables = {name: value for name, value in os.environ.items() if name not in set_by_pytest}
    expected = ("No window of the", "The tabular column")
    return variables | {
        "PYTHONWARNINGS": ",".join(f"ignore:{text}:UserWarning" for text in expected)
    }


def execute(name, folder, **parameters):
    """Execute a notebook; it must write nothing to standard error."""
    executed = folder / name
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / name), str(executed)]
    command += ["--no-progress-bar", "--kernel", "python3"]
    command += ["--parameters_yaml", json.dumps(parameters, default=str)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment())
    assert process.returncode == 0, process.stderr[-3000:]
    notebook = json.loads(executed.read_text())
    assert printed_errors(notebook) == ""
    return notebook


def outputs(notebook):
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def printed_errors(notebook):
    texts = [one["text"] for one in outputs(notebook) if one.get("name") == "stderr"]
    return "".join("".join(text) for text in texts)
