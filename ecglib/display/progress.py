"""Tables and the progress of a training, shown in a notebook."""

from typing import TYPE_CHECKING

import pandas as pd

from ecglib.plots import format_html

if TYPE_CHECKING:  # importing it for real takes seconds
    import keras


def show_table(table: pd.DataFrame, caption: str = "", index: bool = False) -> None:
    """Show a whole table in a notebook, with all text as it is.

    Parameters
    ----------
    table : DataFrame
        The table; numbers are rounded to three decimals (`ecglib.plots.format_html`).
    caption : str, default ""
        Written above the table, such as a caveat.
    index : bool, default False
        Whether to show the index.

    Examples
    --------
    >>> show_table(pd.DataFrame({"class": ["AF"], "windows": [131]}))
    <IPython.core.display.HTML object>
    """
    from IPython.display import HTML, display

    display(HTML(format_html(table, caption, index)))


def make_epoch_line(epochs: int) -> "keras.callbacks.Callback":
    """Make a callback that shows the current epoch and its scores in one line of a notebook.

    Parameters
    ----------
    epochs : int
        Maximum number of epochs.

    Returns
    -------
    keras.callbacks.Callback
        For the argument ``callbacks`` of `ecglib.train`. An ensemble has a line for each model.

    Examples
    --------
    ::

        ecglib.train(data, branches={"time": "cnn"}, epochs=20, callbacks=[make_epoch_line(20)])
    """
    import ecglib._keras  # noqa: F401

    import keras
    from IPython.display import Pretty, display

    class EpochLine(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            self.line = display(Pretty("epoch 1: building the graph"), display_id=True)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            scores = ", ".join(f"{name} {value:.3f}" for name, value in (logs or {}).items())
            if self.line is not None:  # it is None outside of Jupyter
                self.line.update(Pretty(f"epoch {epoch + 1} of at most {epochs}: {scores}"))

    return EpochLine()
