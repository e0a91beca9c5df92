"""How wide a model must be to have as many parameters as another."""

from collections.abc import Callable

from ecglib.errors import ExperimentError

WIDEST = 4096


def find_width(n_parameters: int, count: Callable[[int], int], least: int) -> int:
    """Find the width at which the number of parameters is nearest to a given one.

    Of two that are equally near the smaller. By doubling and bisection: the number is asked for
    about ten times, and never of a model of many more parameters than four times those wanted.

    Parameters
    ----------
    n_parameters : int
        How many the model should have.
    count : callable
        Width -> number of parameters of the model; never falls as the width grows.
    least : int
        The smallest width.

    Raises
    ------
    ExperimentError
        If the model has more parameters even at that width, or fewer at any that can be tried.
    """
    low, fewer = least, count(least)
    if fewer > n_parameters:
        raise ExperimentError(
            f"{n_parameters:,} parameters were asked for by widening, and the model has {fewer:,} "
            f"at width={least}, the smallest allowed. Ask for more, or give a smaller width."
        )
    high, more = 2 * low, count(2 * low)
    while more <= n_parameters:
        if high >= WIDEST:
            raise ExperimentError(
                f"{n_parameters:,} parameters were asked for by widening, and the model has "
                f"{more:,} at width={high}. Ask for fewer, or choose an encoder that grows."
            )
        low, fewer, high, more = high, more, 2 * high, count(2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        if (n := count(middle)) <= n_parameters:
            low, fewer = middle, n
        else:
            high, more = middle, n
    return low if n_parameters - fewer <= more - n_parameters else high
