"""Names of representations, branches, encoders and fusions.

A branch is named after its representation, numbered from its second encoder on.

``{"time": "cnn", "time_2": "s4d"}`` are two encoders on one representation. The model has one input
for each representation, and gives it to all of its branches.

A representation with other options, or by a layer of another package, has the name of the kind of
representation that it is, and a word: ``"spectrogram_fine"``, ``"time_slope"``.
"""

import re
from collections.abc import Iterable

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.import_paths import ImportPath, get_fusion_family, is_import_path
from ecglib.experiment.registry import (
    ENCODERS,
    FUSIONS,
    HANDCRAFTED,
    LAYER,
    REPRESENTATIONS,
    TABULAR,
    Representation,
)

NUMBERS = tuple("23456789")
WORD = re.compile(r"[a-z][a-z0-9]*(?:_[a-z][a-z0-9]*)*")


def get_representation(branch: str) -> str:
    """Return the representation that a branch takes.

    Examples
    --------
    >>> get_representation("time_2")
    'time'
    """
    name, _, number = str(branch).rpartition("_")
    return name if name and number in NUMBERS else branch


def get_kind(representation: str) -> str:
    """Return the kind of a representation: that of the registry whose axes and encoders it has.

    Examples
    --------
    >>> get_kind("time_slope"), get_kind("time")
    ('time', 'time')
    """
    return representation.partition("_")[0]


def describe_kind(representation: str) -> Representation:
    """Return what the registry says of a representation's kind.

    Raises
    ------
    ExperimentError
        If there is no such kind.

    Examples
    --------
    >>> describe_kind("time_slope").axes
    ('n_samples', 'n_leads')
    """
    kind = get_kind(representation)
    require_one_of("representation", kind, REPRESENTATIONS)
    return REPRESENTATIONS[kind]


def check_representation_name(what: str, representation: str) -> None:
    """Refuse a name that is neither in the registry nor such a name followed by a word.

    Parameters
    ----------
    what : str
        What is named, for the error.
    representation : str
        The name.

    Raises
    ------
    ExperimentError
        If there is no such kind of representation, or the word is none.

    Examples
    --------
    >>> check_representation_name("a representation in branches", "time_slope")
    >>> check_representation_name("a representation in branches", "time_2x")
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: a representation in branches='time_2x': '2x' must be ...
    """
    kind = get_kind(representation)
    require_one_of(what, kind, ENCODERS)
    if representation == kind:
        return
    word = representation.removeprefix(f"{kind}_")
    if kind in (HANDCRAFTED, TABULAR):
        raise ExperimentError(
            f"{what}={representation!r}: {kind!r} is not computed from the signal, so there is "
            f"only one. Use {kind!r}."
        )
    if word.isdigit():
        raise ExperimentError(
            f"{what}={representation!r}: further branches on {kind!r} are numbered from 2 to 9. "
            f"Call the second one '{kind}_2'."
        )
    if not WORD.fullmatch(word):
        raise ExperimentError(
            f"{what}={representation!r}: {word!r} must be lowercase letters and digits, beginning "
            f"with a letter. Use a name such as '{kind}_mine'."
        )


def list_named_representations(options: Iterable[str]) -> list[str]:
    """List the representations of the registry, and those that options name besides them.

    Parameters
    ----------
    options : iterable of str
        The representations that have options.

    Examples
    --------
    >>> list_named_representations(["time_slope", "spectrogram"])
    ['time', 'frequency', 'spectrogram', 'scalogram', 'tabular', 'time_slope']
    """
    return list(dict.fromkeys([*REPRESENTATIONS, *options]))


def list_representations(branches: Iterable[str]) -> list[str]:
    """List the representations of branches, each once, in the order of the branches.

    Examples
    --------
    >>> list_representations(["time", "time_2", "tabular"])
    ['time', 'tabular']
    """
    return list(dict.fromkeys(map(get_representation, branches)))


def list_branch_names(representation: str) -> list[str]:
    """List all names that branches on a representation can have, in order.

    Examples
    --------
    >>> list_branch_names("time")[:3]
    ['time', 'time_2', 'time_3']
    """
    return [representation, *(f"{representation}_{number}" for number in NUMBERS)]


def sort_branches(branches: dict[str, str]) -> dict[str, str]:
    """Sort branches by kind, in the order of the registry, then by representation and number.

    Examples
    --------
    >>> sort_branches({"frequency": "mlp", "time": "cnn"})
    {'time': 'cnn', 'frequency': 'mlp'}
    """
    kinds = list(ENCODERS)

    def rank(branch: str) -> tuple[int, str, str]:
        representation = get_representation(branch)
        return kinds.index(get_kind(representation)), representation, branch

    return {branch: branches[branch] for branch in sorted(branches, key=rank)}


def check_branches(branches: dict[str, str], fusion: str) -> None:
    """Refuse branches or encoders that are unknown, or numbers with a gap.

    Parameters
    ----------
    branches : dict of str to str
        Branch -> encoder, a name of the registry or an import path.
    fusion : str
        Name of the fusion; early ones take no second branch of a representation.

    Raises
    ------
    ExperimentError
        If a name is unknown, a number is missing, or an early fusion would not use an encoder.

    Examples
    --------
    >>> check_branches({"time": "cnn", "time_2": "s4d"}, "late_average")
    """
    for name, encoder in branches.items():
        representation = get_representation(name)
        if get_kind(representation) not in ENCODERS and encoder in ENCODERS:
            raise ExperimentError(
                f"branches={{{name!r}: {encoder!r}}} names the encoder first. The representation "
                f"comes first: {{{encoder!r}: {name!r}}}."
            )
        check_representation_name("a representation in branches", representation)
        check_encoder_name(name, encoder)
    for representation in list_representations(branches):
        names = [name for name in list_branch_names(representation) if name in branches]
        if names != (expected := list_branch_names(representation)[: len(names)]):
            raise ExperimentError(
                f"The branches on {representation!r} are called {names}, expected {expected}. "
                f"Number them without a gap, so that equal models have equal names."
            )
        if len(names) > 1 and get_fusion_family(fusion) == "early":
            raise ExperimentError(
                f"fusion={fusion!r} with the branches {names} on one representation: an early "
                f"fusion joins the representations before one encoder, so a second encoder would "
                f"never be used. Choose an intermediate or a late fusion."
            )


def check_encoder_name(branch: str, encoder: str) -> None:
    """Refuse an encoder that is neither one of a branch's representation nor an import path.

    Parameters
    ----------
    branch : str
        The branch.
    encoder : str
        Its encoder.

    Raises
    ------
    ExperimentError
        If there is no such encoder, or an import path is not well formed.

    Examples
    --------
    >>> check_encoder_name("time_2", "s4d")
    >>> check_encoder_name("time", "mypackage.encoders:my_encoder")
    """
    kind = get_kind(get_representation(branch))
    if is_import_path(encoder) and kind != HANDCRAFTED:
        ImportPath.parse(encoder)
        return
    _refuse_dots(f"branches[{branch!r}]", encoder)
    require_one_of(f"branches[{branch!r}]", encoder, ENCODERS[kind])


def check_layer_name(representation: str, layer: object) -> None:
    """Refuse a layer that is no import path, or whose representation has a name of the registry.

    Parameters
    ----------
    representation : str
        The representation.
    layer : object
        The layer that computes it.

    Raises
    ------
    ExperimentError
        If the layer is no import path, or the name is that of a representation of ecglib.

    Examples
    --------
    >>> check_layer_name("spectrogram_mine", "mypackage.layers:MyLayer")
    """
    what = f"representation_options[{representation!r}][{LAYER!r}]"
    if representation in ENCODERS:
        like = "time" if representation in (HANDCRAFTED, TABULAR) else representation
        kinds = [one for one in ENCODERS if one not in (HANDCRAFTED, TABULAR)]
        raise ExperimentError(
            f"{what}={layer!r}: {representation!r} is a representation of ecglib. Choose another "
            f"name that begins with the one of {kinds} with the same axes, such as '{like}_mine', "
            f"here and in branches."
        )
    if not isinstance(layer, str) or not is_import_path(layer):
        _refuse_dots(what, str(layer))
        raise ExperimentError(
            f"{what}={layer!r} is no import path. Write the module, a colon and the name of the "
            f"class, as in 'mypackage.layers:MyLayer'."
        )
    ImportPath.parse(layer)


def check_fusion_name(fusion: str) -> None:
    """Refuse a fusion that is neither one of the registry nor an import path.

    Parameters
    ----------
    fusion : str
        The fusion.

    Raises
    ------
    ExperimentError
        If there is no such fusion, or the name of an imported one does not begin with its family.

    Examples
    --------
    >>> check_fusion_name("late_average")
    >>> check_fusion_name("mypackage.fusions:my_fusion")
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: fusion='mypackage.fusions:my_fusion': the name of the ...
    """
    families = list(dict.fromkeys(map(get_fusion_family, FUSIONS)))
    if not is_import_path(fusion):
        _refuse_dots("fusion", fusion)
        require_one_of("fusion", fusion, FUSIONS)
    elif get_fusion_family(fusion) not in families:
        raise ExperimentError(
            f"fusion={fusion!r}: the name of the function has to begin with its family, which "
            f"decides how it is trained: one of {[f'{family}_' for family in families]}. Rename "
            f"it, for example to 'intermediate_{ImportPath.parse(fusion).attribute}'."
        )


def _refuse_dots(what: str, name: str) -> None:
    """Refuse a name such as ``mypackage.encoders.my_encoder``, with what was meant."""
    module, dot, attribute = name.rpartition(".")
    if dot:
        raise ExperimentError(
            f"{what}={name!r} is neither a name of ecglib nor an import path. Write a colon before "
            f"the name after the module: '{module}:{attribute}'."
        )
