"""By what the views are scaled: statistics of the training part, one batch of views at a time."""

import collections
from collections.abc import Iterable

import numpy as np

from ecglib.models import scaling_axes
from ecglib.representations.time import NORMAL_RANGE


def means_and_variances(batches: Iterable[dict]) -> dict:
    """Of each view, without missing values, as `models.set_scaling` takes them."""
    sums, squares, counts = {}, {}, {}
    for arrays in batches:
        for name, array in arrays.items():
            array = np.asarray(array, np.float64)
            axes = scaling_axes(name, array.ndim)
            sums[name] = sums.get(name, 0) + np.nansum(array, axis=axes)
            squares[name] = squares.get(name, 0) + np.nansum(np.square(array), axis=axes)
            counts[name] = counts.get(name, 0) + np.sum(~np.isnan(array), axis=axes)
    scaling = {}
    for name in sums:
        n = np.maximum(counts[name], 1)
        mean = sums[name] / n
        scaling[name] = mean, np.maximum(squares[name] / n - mean**2, 0.0)
    return scaling


def medians_and_ranges(batches: Iterable[dict]) -> dict:
    """As `means_and_variances`: the median, and the square of what would be the deviation of a
    normal distribution with this interquartile range."""
    parts = collections.defaultdict(list)
    for arrays in batches:
        for name, array in arrays.items():
            parts[name].append(array)
    scaling = {}
    for name, own in parts.items():
        array = np.concatenate(own)
        low, median, high = np.nan_to_num(
            np.nanpercentile(array, (25, 50, 75), axis=scaling_axes(name, array.ndim))
        )
        scaling[name] = median, np.square((high - low) / NORMAL_RANGE)
    return scaling
