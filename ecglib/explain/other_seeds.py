"""The networks of the runs that differ from a run in their seed alone."""

import ecglib._keras  # noqa: F401

import dataclasses

import keras

from ecglib.errors import RunError
from ecglib.explain.run_scores import build_signal_scores
from ecglib.explain.scores import ScoreModel, build_score_model
from ecglib.runs import Run, find_runs_of_other_seeds

#: With the run itself five seeds, as many as a verdict needs. Reading and building a network takes
#: longer than its attribution.
MAX_OTHER_SEEDS = 4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SeedScores:
    """The scores of one run with another seed.

    Parameters
    ----------
    signal, representations : ScoreModel
        As functions of the signal and of the representations.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> scores = make_class_score().scores
    >>> SeedScores(signal=scores, representations=scores).signal.classes
    ('MI', 'CD')
    """

    signal: ScoreModel
    representations: ScoreModel


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OtherSeeds:
    """The scores of runs with other seeds, and what is to be said about them.

    Parameters
    ----------
    models : tuple of SeedScores
        One for each run; empty if there is none.
    note : str
        Which seeds they have; without runs, what is needed.

    Examples
    --------
    >>> OtherSeeds(models=(), note="").models
    ()
    """

    models: tuple[SeedScores, ...]
    note: str


def build_seed_scores(
    run: Run,
    network: keras.Model,
    processing: keras.Model,
    signal: ScoreModel,
    representations: ScoreModel,
) -> SeedScores:
    """Build the scores of another network of an experiment.

    Parameters
    ----------
    run : Run
        A run of the experiment.
    network : keras.Model
        The other network, from the representations to probabilities.
    processing, signal, representations
        Of the run, as for `build_other_seeds`.

    Returns
    -------
    SeedScores
        On the inputs of the run.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_representation_scores
    >>> from ecglib.models.end_to_end import build_processing
    >>> contract = make_contract(["time"])
    >>> processing = build_processing(contract.signal, contract.processing)
    >>> network = make_network(contract)
    >>> found = build_seed_scores(
    ...     SimpleNamespace(contract=contract, kind=contract.kind),
    ...     make_network(contract),
    ...     processing,
    ...     build_signal_scores(contract, network, processing),
    ...     build_representation_scores(contract, network, processing),
    ... )
    >>> list(found.signal.inputs), list(found.representations.inputs)
    (['signal'], ['time'])
    """
    of_signal = build_signal_scores(run.contract, network, processing)
    return SeedScores(
        signal=dataclasses.replace(signal, model=of_signal.model),
        representations=dataclasses.replace(
            representations, model=build_score_model(network, run.kind)
        ),
    )


def build_other_seeds(
    run: Run, processing: keras.Model, signal: ScoreModel, representations: ScoreModel
) -> OtherSeeds:
    """Read the networks of the runs that differ from a run in their seed alone.

    Parameters
    ----------
    run : Run
        The run.
    processing : keras.Model
        Its filters and representations (`ecglib.models.end_to_end.build_processing`).
    signal, representations : ScoreModel
        Its scores (`build_signal_scores`, `build_representation_scores`).

    Returns
    -------
    OtherSeeds
        Of at most four runs, those with the lowest seeds. A network that cannot be read is
        named in the note.

    Examples
    --------
    >>> from ecglib import open_run
    >>> from ecglib.explain import Explainer
    >>> explainer = Explainer(open_run())  # doctest: +SKIP
    >>> build_other_seeds(
    ...     explainer.run,
    ...     explainer.processing,
    ...     explainer.signal_scores,
    ...     explainer.representation_scores,
    ... ).note  # doctest: +SKIP
    'Agreement between seeds: with the seeds 1, 2.'
    """
    models, seeds, problems = [], [], []
    for other in find_runs_of_other_seeds(run)[:MAX_OTHER_SEEDS]:
        try:
            network = other.load_network()
        except RunError as error:
            problems.append(f" The run with seed {other.seed} was not used: {error}")
            continue
        models.append(build_seed_scores(run, network, processing, signal, representations))
        seeds.append(str(other.seed))
    note = (
        f"Agreement between seeds: with the seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}."
        if seeds
        else "Agreement between seeds was not checked: it needs runs of this experiment with other "
        f"seeds in the folder {run.path.parent.name}. Run it with another seed into that folder, "
        "or in a batch with several seeds."
    )
    return OtherSeeds(models=tuple(models), note=note + "".join(problems))
