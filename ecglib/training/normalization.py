"""The statistics by which representations are scaled, one batch at a time."""

import collections
from collections.abc import Iterable, Mapping

import numpy as np

from ecglib.models import find_scaling_axes
from ecglib.representations.time import NORMAL_IQR

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]


def compute_means_and_variances(batches: Iterable[Mapping[str, np.ndarray]]) -> Statistics:
    """Compute mean and variance of each representation, without missing values.

    Parameters
    ----------
    batches : iterable of dict of str to array
        Representation -> array, batch by batch.

    Returns
    -------
    dict of str to (array, array)
        As `ecglib.models.set_scaling` takes them.

    Examples
    --------
    >>> batches = [{"tabular": np.array([[1.0], [np.nan]])}, {"tabular": np.array([[3.0]])}]
    >>> mean, variance = compute_means_and_variances(batches)["tabular"]
    >>> mean.tolist(), variance.tolist()
    ([2.0], [1.0])
    """
    sums: dict[str, np.ndarray] = {}
    squares: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for arrays in batches:
        for name, values in arrays.items():
            array = np.asarray(values, np.float64)
            axes = find_scaling_axes(name, array.ndim)
            is_missing = np.isnan(array)
            if is_missing.any():  # only tabular values are; np.nansum would always copy
                array = np.where(is_missing, 0.0, array)
            sums[name] = sums.get(name, 0) + np.sum(array, axis=axes)
            squares[name] = squares.get(name, 0) + np.sum(np.square(array), axis=axes)
            counts[name] = counts.get(name, 0) + np.sum(~is_missing, axis=axes)
    scaling = {}
    for name in sums:
        n = np.maximum(counts[name], 1)
        mean = sums[name] / n
        scaling[name] = mean, np.maximum(squares[name] / n - mean**2, 0.0)
    return scaling


def compute_medians_and_spreads(batches: Iterable[Mapping[str, np.ndarray]]) -> Statistics:
    """Compute the median and the squared spread of each representation, without missing values.

    The spread is the standard deviation of a normal distribution with this interquartile range.

    Parameters
    ----------
    batches : iterable of dict of str to array
        Representation -> array, batch by batch; all are held in memory.

    Returns
    -------
    dict of str to (array, array)
        As `ecglib.models.set_scaling` takes them.

    Examples
    --------
    >>> batches = [{"tabular": np.array([[1.0], [2.0], [3.0]])}]
    >>> median, squared_spread = compute_medians_and_spreads(batches)["tabular"]
    >>> median.tolist(), (1.349 * np.sqrt(squared_spread)).round(2).tolist()
    ([2.0], [1.0])
    """
    parts = collections.defaultdict(list)
    for arrays in batches:
        for name, values in arrays.items():
            parts[name].append(values)
    scaling = {}
    for name, pieces in parts.items():
        array = np.concatenate(pieces)
        low, median, high = np.nan_to_num(
            np.nanpercentile(array, (25, 50, 75), axis=find_scaling_axes(name, array.ndim))
        )
        scaling[name] = median, np.square((high - low) / NORMAL_IQR)
    return scaling
