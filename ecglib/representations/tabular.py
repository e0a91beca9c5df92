"""Values of a window that are no signal: age, sex, RR intervals, heart-rate statistics."""

from collections.abc import Sequence

import keras

from ecglib.errors import ExperimentError


@keras.saving.register_keras_serializable(package="ecglib")
class TabularValues(keras.layers.Layer):
    """The tabular values that belong to a window.

    Parameters
    ----------
    columns : sequence of str
        Names of the values, with their unit where they have one, such as "rr_sd_s".

    Input shape
        A list: windows (n_windows, n_samples, n_leads) in mV, which are not looked at, and
        values (n_windows, n_columns), NaN where one is missing.

    Output shape
        (n_windows, n_columns), NaN where a value is missing.

    Raises
    ------
    ExperimentError
        If no column is given, or one twice, or if the values have another number of columns.
    """

    unit = "as the column says"

    def __init__(self, columns: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.columns = list(columns)
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ExperimentError(
                f"columns={self.columns} for the representation 'tabular', expected at least one, "
                f"and each once. A dataset's columns: `Dataset.tabular_columns`."
            )

    def axes(self, n_samples: int) -> dict[str, list[str]]:
        """Give ``{"column": names}``, whatever the length of the windows."""
        return {"column": self.columns}

    def compute_output_shape(self, input_shape):
        _, (n_windows, n_columns) = input_shape
        if n_columns != len(self.columns):
            raise ExperimentError(
                f"{n_columns} values were given for the columns {self.columns}, expected "
                f"{len(self.columns)}."
            )
        return n_windows, n_columns

    def call(self, inputs):
        return inputs[1]

    def get_config(self):
        return {**super().get_config(), "columns": self.columns}
