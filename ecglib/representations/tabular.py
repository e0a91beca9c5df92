"""The representation `tabular`: age, sex, RR intervals, heart-rate statistics and the like."""

from ecglib._keras import Tensor

from collections.abc import Sequence
from typing import Any

import keras

from ecglib.errors import ExperimentError


@keras.saving.register_keras_serializable(package="ecglib")
class TabularValues(keras.layers.Layer):
    """Represent a window by the tabular values that belong to it.

    Input shape
        A list: windows (n_windows, n_samples, n_leads) in mV, which are not used, and values
        (n_windows, n_columns), NaN where a value is missing.

    Output shape
        (n_windows, n_columns), NaN where a value is missing.

    Parameters
    ----------
    columns : sequence of str
        Names of the values, with their unit if they have one, such as "rr_sd_s".
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If there is no column, if a column appears twice, or if the values have another number of
        columns.

    Examples
    --------
    >>> windows, values = keras.ops.zeros((1, 100, 2)), keras.ops.ones((1, 2))
    >>> layer = TabularValues(["age", "rr_sd_s"])
    >>> keras.ops.convert_to_numpy(layer([windows, values])).tolist()
    [[1.0, 1.0]]
    """

    unit = "as the column says"

    def __init__(self, columns: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = list(columns)
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ExperimentError(
                f"`columns={self.columns}` of the representation 'tabular' must name at least one "
                "column, and each once. See `Dataset.tabular_columns` for those of a dataset."
            )

    def compute_axes(self, n_samples: int) -> dict[str, list[str]]:
        """Return ``{"column": names}``, whatever the length of the windows."""
        return {"column": self.columns}

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        _, (n_windows, n_columns) = input_shape
        if n_columns != len(self.columns):
            raise ExperimentError(
                f"{n_columns} values do not fit the {len(self.columns)} columns {self.columns}. "
                "Give one value for each column, in this order."
            )
        return n_windows, n_columns

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}
