"""The width at which a model has a given number of parameters."""

from collections.abc import Callable

from ecglib.errors import ExperimentError

MAX_WIDTH = 4096


def find_width(
    target_parameters: int, count_parameters: Callable[[int], int], min_width: int
) -> int:
    """Find the width at which the number of parameters is closest to a given one.

    Of two equally close widths the smaller is returned. The search is by doubling and bisection:
    `count_parameters` is called about ten times, and never for a model of many more than four
    times the parameters asked for.

    Parameters
    ----------
    target_parameters : int
        Number of parameters that the model should have.
    count_parameters : callable
        Width -> number of parameters of the model; must not decrease with the width.
    min_width : int
        Smallest width.

    Returns
    -------
    int
        The width.

    Raises
    ------
    ExperimentError
        If the model has more parameters even at `min_width`, or fewer at any width that can be
        tried.

    Examples
    --------
    >>> find_width(1000, lambda width: 3 * width**2, min_width=4)
    18
    """
    low, n_low = min_width, count_parameters(min_width)
    if n_low > target_parameters:
        raise ExperimentError(
            f"target_parameters={target_parameters:,} is too small: the model has {n_low:,} "
            f"parameters at width={min_width}, the smallest allowed. Increase target_parameters, "
            f"or reduce width."
        )
    high, n_high = 2 * low, count_parameters(2 * low)
    while n_high <= target_parameters:
        if high >= MAX_WIDTH:
            raise ExperimentError(
                f"target_parameters={target_parameters:,} is too large: the model has {n_high:,} "
                f"parameters at width={high}. Reduce target_parameters, or choose an encoder that "
                f"grows with its width."
            )
        low, n_low, high, n_high = high, n_high, 2 * high, count_parameters(2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        if (n_middle := count_parameters(middle)) <= target_parameters:
            low, n_low = middle, n_middle
        else:
            high, n_high = middle, n_middle
    return low if target_parameters - n_low <= n_high - target_parameters else high
