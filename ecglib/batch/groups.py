"""Named groups of parameters that several batch files share.

They are in the file ``groups.yaml`` beside the batch files, each a mapping of parameters::

    aami_beats:
      task: aami
      width: 16

A batch file names those that it takes: ``use: [aami_beats]``. Its ``parameters`` replace values of
a group.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecglib.batch.loading import read_mapping, show
from ecglib.errors import BatchError, did_you_mean

GROUPS = "groups.yaml"


def read_groups(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read the parameters of some groups.

    Parameters
    ----------
    folder : Path
        Folder of the batch file.
    names : sequence of str
        Names of groups.

    Returns
    -------
    dict of str to object
        Their parameters together; no file is read if there are no names.

    Raises
    ------
    BatchError
        If there is no such file or group, a group is no mapping of parameters, or two groups set
        the same parameter.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "groups.yaml").write_text("short: {epochs: 2}\\nsmall: {width: 4}\\n")
    ...     read_groups(Path(folder), ["short", "small"])
    {'epochs': 2, 'width': 4}
    """
    if not names:
        return {}
    path = folder / GROUPS
    groups = read_mapping(path, "file of groups", "a mapping of parameters for each group")
    parameters: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name not in groups:
            raise BatchError(
                f"{path} has no group {name!r}; it has {show(list(groups))}."
                f"{did_you_mean(name, map(str, groups))}"
            )
        group = groups[name]
        if not isinstance(group, dict) or not all(isinstance(key, str) for key in group):
            raise BatchError(
                f"{path}: the group {name!r} must map names of parameters to values, found "
                f"{show(group)}."
            )
        if twice := [key for key in group if key in parameters]:
            raise BatchError(
                f"{path}: the groups {origin[twice[0]]!r} and {name!r} both set {twice[0]!r}. "
                f"Remove it from one, or use only one of them."
            )
        parameters |= group
        origin |= dict.fromkeys(group, name)
    return parameters
