"""Representations by layers of other packages, and with other options."""

import keras
import numpy as np
import pytest
from layer_helpers import CALL, write_layer

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import ExperimentError
from ecglib.experiment.importing import import_attribute
from ecglib.representations import FrequencyBandLayer, build_representations

SIGNAL = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("I", "II"))
PATH = "tested_layers:Slope"


def build(options: dict | None = None) -> keras.Model:
    import_attribute(PATH)
    options = {"time_slope": {"layer": PATH, **(options or {})}}
    return build_representations(SIGNAL, ["time_slope"], (0.0, 0.0), options)


def test_the_layer_gets_the_windows_in_mv_and_its_options(module_folder):
    write_layer()
    x = np.random.default_rng(0).normal(size=(3, 200, 2)).astype("float32")
    values = build({"distance_s": 0.05})(x)["time_slope"]
    np.testing.assert_allclose(np.asarray(values), x[:, 5:] - x[:, :-5], atol=1e-6)


def test_a_layer_beside_the_file_is_not_imported_unless_it_was_before(module_folder):
    """A run that was given to somebody must not execute a module that came with it."""
    write_layer()
    with pytest.raises(ExperimentError, match=r"'tested_layers' is not installed here.*PYTHONPATH"):
        build_representations(SIGNAL, ["time_slope"], options={"time_slope": {"layer": PATH}})


def test_a_layer_with_a_band_gets_that_of_the_filter():
    path = "ecglib.representations.spectrogram:Spectrogram"
    layer = build_representations(
        SIGNAL, ["scalogram_x"], (5.0, 30.0), {"scalogram_x": {"layer": path, "window_s": 0.5}}
    ).get_layer("scalogram_x")
    assert isinstance(layer, FrequencyBandLayer)
    assert (layer.low_hz, layer.high_hz, layer.window_s) == (5.0, 30.0, 0.5)


@pytest.mark.parametrize(
    ("replacements", "problem"),
    [
        ({"(SignalLayer)": "(keras.layers.Layer)"}, r"expected a subclass of .*SignalLayer"),
        ({"class Slope(SignalLayer)": "def Slope(x)"}, r"is function, expected a subclass"),
        (
            {CALL: "return ops.mean(x, 1)"},
            r"shape \(2,\), but 'time_slope' needs the axes.*\['tabular'\]",
        ),
        ({CALL: "return ops.concatenate([x, x], -1)[:, 2:]"}, r"name_channels names 2 entries"),
        ({CALL: "return x"}, r"shapes \{'time_s': \(198,\)\}, expected \{'time_s': \(200,\)"),
        ({"time_s": "lag_s"}, r"compute_axes\(200\) returns axes of the shapes \{'lag_s'"),
        ({'unit = "mV"': "pass"}, r"has no `unit`. Give the class one"),
    ],
)
def test_what_cannot_take_the_place_is_refused_with_what_to_do(
    module_folder, replacements, problem
):
    write_layer(replacements)
    with pytest.raises(ExperimentError, match=problem):
        build()


def test_a_layer_with_weights_is_refused_because_nothing_would_train_them(module_folder):
    write_layer(
        {
            "self.n = round": 'self.w = self.add_weight(shape=(), name="w"); self.n = round',
            CALL: f"{CALL} * self.w",
        }
    )
    with pytest.raises(ExperimentError, match=r"has the weights .*is not trained.*an encoder"):
        build()


def test_two_spectrograms_of_different_resolution_are_two_inputs():
    names = ["spectrogram", "spectrogram_fine"]
    model = build_representations(SIGNAL, names, options={"spectrogram_fine": {"hop_s": 0.08}})
    x = np.random.default_rng(0).normal(size=(2, 200, 2)).astype("float32")
    coarse, fine = (np.asarray(model(x)[name]) for name in names)
    np.testing.assert_allclose(fine[:, ::2], coarse, atol=1e-4)


def test_an_option_that_the_layer_does_not_have_is_refused(module_folder):
    write_layer()
    with pytest.raises(ExperimentError, match=r"a Slope, has no option 'scale'.*distance_s"):
        build({"scale": "window"})
