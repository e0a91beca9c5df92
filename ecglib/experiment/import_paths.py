"""Encoders and fusions of other packages, named by their import path.

``"mypackage.encoders:my_encoder"`` names the attribute of a module. An experiment records it with
the hash of the source, ``"mypackage.encoders:my_encoder@1a2b3c4d"``, so that changed code is
another experiment. Nothing is imported here: an experiment is created, and a run opened, from
names and source text alone.
"""

import dataclasses
import re
from typing import Self

from ecglib.errors import ExperimentError, did_you_mean
from ecglib.experiment.sources import EVERYTHING, hash_sources, list_sources

NAME = r"[^\W\d]\w*"
PATTERN = re.compile(rf"({NAME}(?:\.{NAME})*):({NAME})(?:@([0-9a-f]{{8}}))?")
MAIN = "__main__"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportPath:
    """Where an encoder or a fusion of another package is.

    Parameters
    ----------
    module : str
        Name of its module.
    attribute : str
        Its name in the module.
    code : str, default ""
        Hash of the source (`pin_import_path`); "" where any version will do.

    Examples
    --------
    >>> path = ImportPath.parse("mypackage.encoders:my_encoder@1a2b3c4d")
    >>> path.module, path.attribute, path.code
    ('mypackage.encoders', 'my_encoder', '1a2b3c4d')
    >>> str(path)
    'mypackage.encoders:my_encoder@1a2b3c4d'
    """

    module: str
    attribute: str
    code: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an import path.

        Raises
        ------
        ExperimentError
            If the text is none, or names something that was defined in a notebook.
        """
        found = PATTERN.fullmatch(text)
        if found is None:
            raise ExperimentError(
                f"{text!r} is no import path. Write the module, a colon and the name of the "
                f"function, as in 'mypackage.encoders:my_encoder'."
            )
        module, attribute, code = found.groups()
        if module == MAIN:
            raise ExperimentError(
                f"{text!r} is defined in a notebook or script, where other processes do not find "
                f"it. Put it into a file beside the notebook, such as my_encoders.py, and name it "
                f"'my_encoders:{attribute}'."
            )
        return cls(module=module, attribute=attribute, code=code or "")

    def __str__(self) -> str:
        pin = f"@{self.code}" if self.code else ""
        return f"{self.module}:{self.attribute}{pin}"


def is_import_path(name: str) -> bool:
    """Return whether a name is an import path, and not a name of the registry.

    Examples
    --------
    >>> is_import_path("mypackage.encoders:my_encoder"), is_import_path("cnn")
    (True, False)
    """
    return ":" in name


def get_label(name: str) -> str:
    """Return a name without its module and the hash of its code: short, and fit for a file name.

    Examples
    --------
    >>> get_label("mypackage.encoders:my_encoder@1a2b3c4d"), get_label("cnn")
    ('my_encoder', 'cnn')
    """
    return ImportPath.parse(name).attribute if is_import_path(name) else name


def get_fusion_family(fusion: str) -> str:
    """Return the family of a fusion: the word of its name before the first underscore.

    Examples
    --------
    >>> get_fusion_family("late_average"), get_fusion_family("mypackage.fusions:early_sum")
    ('late', 'early')
    """
    return get_label(fusion).partition("_")[0]


def pin_import_path(name: str) -> str:
    """Add the hash of the source to an import path that has none; other names stay as they are.

    Parameters
    ----------
    name : str
        Name of an encoder or fusion. With a hash nothing is looked up, so that a run can be opened
        where the module does not exist.

    Returns
    -------
    str
        For example ``"mypackage.encoders:my_encoder@1a2b3c4d"``.

    Raises
    ------
    ExperimentError
        If there is no such module, its source cannot be read, or it does not define the name.

    Notes
    -----
    `ecglib.experiment.sources` describes which files count.

    Examples
    --------
    >>> pin_import_path("json.decoder:JSONDecoder")
    'json.decoder:JSONDecoder@...'
    >>> pin_import_path("cnn")
    'cnn'
    """
    if not is_import_path(name):
        return name
    path = ImportPath.parse(name)
    if path.code:
        return str(path)
    sources = list_sources(path.module)
    defined = sources[path.module].names
    if path.attribute not in defined and EVERYTHING not in defined:
        functions = sorted(one for one in defined if not one.startswith("_"))
        hint = did_you_mean(path.attribute, functions)
        raise ExperimentError(
            f"{name!r}: {sources[path.module].file} does not define {path.attribute!r}. It "
            f"defines {functions}.{hint}"
        )
    return str(dataclasses.replace(path, code=hash_sources(sources)))
