"""Disturb windows in mV, before any representation is computed from them."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import DatasetError, ExperimentError, require_one_of
from ecglib.robustness.conditions import Conditions, read_noise
from ecglib.robustness.registry import DISTURBANCES

Function = Callable[[np.ndarray, float, Conditions], np.ndarray]


class Disturber:
    """Disturb windows reproducibly: the same windows for all models, whatever the batches.

    The random numbers of a window depend on the seed, the disturbance and the window's number
    alone. They are the same at each severity, so that a curve does not jump by chance. Samples at
    the end of a window that are 0 mV in all leads are padding and stay 0 mV.

    Parameters
    ----------
    signal : SignalSpec
        Sampling rate and leads of the windows.
    seed : int, default 0
        Seed of the random numbers, at least 0.
    noise_folder : str or Path, default ""
        Folder with the records bw, ma and em of the MIT-BIH Noise Stress Test Database, which then
        replace synthetic baseline wander, muscle artifact and electrode motion; none if empty.

    Raises
    ------
    DatasetError
        If a record is missing or cannot be read.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=500, leads=("I", "II"))
    >>> t = np.arange(500) / 100
    >>> windows_mv = np.tile(np.sin(2 * np.pi * t)[None, :, None], (3, 1, 2))
    >>> disturber = Disturber(signal)
    >>> noisy = disturber.disturb(windows_mv, np.array([7, 8, 9]), "white_noise", 12.0)
    >>> last = disturber.disturb(windows_mv[2:], np.array([9]), "white_noise", 12.0)
    >>> noisy.shape, bool((noisy[2:] == last).all())
    ((3, 500, 2), True)
    >>> disturber.list_severities("lost_leads")
    [1.0]
    >>> print(disturber.find_obstacle("mains_50hz"))
    Mains hum at 50 Hz is not in windows at 100 Hz: only frequencies below 50 Hz are. ...
    """

    def __init__(self, signal: SignalSpec, seed: int = 0, noise_folder: str | Path = ""):
        self.signal = signal
        self.seed = seed
        self._noise = read_noise(noise_folder, signal.sampling_rate_hz) if noise_folder else {}

    def disturb(
        self, windows_mv: np.ndarray, numbers: np.ndarray, name: str, severity: float
    ) -> np.ndarray:
        """Disturb windows.

        Parameters
        ----------
        windows_mv : array of shape (n_windows, n_samples, n_leads)
            Windows in mV.
        numbers : int array of shape (n_windows,)
            Number of each window, such as its row in the window table.
        name : str
            A name in `ecglib.robustness.registry.DISTURBANCES`.
        severity : float
            Severity in the unit of the disturbance.

        Returns
        -------
        array of shape (n_windows, n_samples, n_leads)
            In mV, of the type of `windows_mv`.

        Raises
        ------
        DatasetError
            If the windows do not fit the signal or their numbers.
        ExperimentError
            If there is no such disturbance or severity, or the signal lacks what it needs.
        """
        function = _load_function(name)
        _check_severity(name, severity)
        expected = (len(numbers), self.signal.n_samples, len(self.signal.leads))
        if windows_mv.shape != expected:
            raise DatasetError(
                f"The windows have shape {windows_mv.shape}, expected {expected}: one number for "
                f"each window, and the samples and leads of the signal. Give one number a window."
            )
        disturbed = np.zeros_like(windows_mv)
        for out, window, number in zip(disturbed, windows_mv, numbers, strict=True):
            n_measured = count_measured(window)
            conditions = Conditions(
                signal=self.signal,
                rng=np.random.default_rng([self.seed, zlib.crc32(name.encode()), int(number)]),
                noise=self._noise.get(name),
            )
            if n_measured:
                measured = window[:n_measured].astype(np.float64)
                out[:n_measured] = function(measured, severity, conditions)
        return disturbed

    def find_obstacle(self, name: str) -> str:
        """Say why windows of this signal cannot be disturbed in this way.

        Parameters
        ----------
        name : str
            Name of the disturbance.

        Returns
        -------
        str
            The reason; empty if there is none.
        """
        if not self.list_severities(name):
            return "A single lead cannot be lost. Leave this disturbance out."
        window_mv = np.ones((1, self.signal.n_samples, len(self.signal.leads)))
        try:
            self.disturb(window_mv, np.zeros(1, int), name, self.list_severities(name)[0])
        except ExperimentError as error:
            return str(error)
        return ""

    def list_severities(self, name: str) -> list[float]:
        """List the usual severities of a disturbance for this signal, from mild to severe.

        Parameters
        ----------
        name : str
            Name of the disturbance.

        Returns
        -------
        list of float
            Those of the registry; of lost leads, those below the number of leads.
        """
        require_one_of("disturbance", name, DISTURBANCES)
        severities = list(DISTURBANCES[name].severities)
        if name == "lost_leads":
            return [one for one in severities if one < len(self.signal.leads)]
        return severities


def count_measured(window_mv: np.ndarray) -> int:
    """Count the samples of a window up to the last one that is not 0 mV in all leads.

    Parameters
    ----------
    window_mv : array of shape (n_samples, n_leads)
        A window in mV; the rest of it is padding.

    Examples
    --------
    >>> count_measured(np.array([[0.0], [0.3], [0.0], [0.0]]))
    2
    """
    measured = np.flatnonzero(window_mv.any(axis=1))
    return int(measured[-1]) + 1 if len(measured) else 0


def _load_function(name: str) -> Function:
    require_one_of("disturbance", name, DISTURBANCES)
    module, function = DISTURBANCES[name].function.split(".")
    loaded: Function = getattr(importlib.import_module(f"ecglib.robustness.{module}"), function)
    return loaded


def _check_severity(name: str, severity: float) -> None:
    disturbance = DISTURBANCES[name]
    if not disturbance.minimum <= severity <= disturbance.maximum:
        raise ExperimentError(
            f"The severity {severity} of {name} is not between {disturbance.minimum:g} and "
            f"{disturbance.maximum:g}; its unit is {disturbance.unit}. Usual ones are "
            f"{', '.join(f'{one:g}' for one in disturbance.severities)}."
        )
