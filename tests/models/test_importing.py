"""Import encoders and fusions of other packages."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from check import SHAPES

from ecglib.errors import ExperimentError
from ecglib.experiment.import_paths import pin_import_path
from ecglib.experiment.importing import import_attribute
from ecglib.models import ModelSpec, build_model
from ecglib.models.encoders import load_encoder
from ecglib.models.fusion import load_fusion
from ecglib.models.importing import import_layers

HEAD = "import keras\nfrom keras import layers\n\n"
LAYER = """
@keras.saving.register_keras_serializable(package="tested_layers")
class Twice(layers.Layer):
    def call(self, x):
        return 2 * x
"""
ENCODER = """
def encode(x, width, feature_dim, dropout, seed):
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(width, 3)(x))
    return layers.Dense(feature_dim)(layers.Dropout(dropout)(x))
"""


def build(encoder: str, **changes) -> keras.Model:
    settings = {"fusion": "none", "n_classes": 3, "kind": "multi_label", "width": 4} | changes
    return build_model({"time": SHAPES["time"]}, ModelSpec(branches={"time": encoder}, **settings))


def test_layers_without_a_seed_get_the_seed_of_the_branch(module_folder):
    Path("tested_seeds.py").write_text(HEAD + ENCODER)
    one, again, other = (build("tested_seeds:encode", seed=seed) for seed in (1, 1, 2))
    x = np.ones((4, *SHAPES["time"]), "float32")
    for model in (one, again):
        keras.utils.set_random_seed(id(model) % 1000)
    weights = [
        keras.ops.convert_to_numpy(model.trainable_weights[0]) for model in (one, again, other)
    ]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    if keras.backend.backend() == "torch":
        return  # Keras drops without a seed by the generator of PyTorch, which each run seeds
    outputs = [np.asarray(model({"time": x}, training=True)) for model in (one, again, other)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_a_changed_file_is_imported_again_also_if_a_module_it_imports_has_changed(module_folder):
    Path("tested_value.py").write_text("VALUE = 1\n")
    Path("tested_user.py").write_text("from tested_value import VALUE\ndef get(): return VALUE\n")
    assert import_attribute("tested_user:get")() == 1
    assert import_attribute("tested_user:get") is import_attribute("tested_user:get")
    Path("tested_value.py").write_text("VALUE = 22\n")
    assert import_attribute("tested_user:get")() == 22


def test_a_module_that_the_notebook_had_imported_is_imported_again_if_it_may_be_old(module_folder):
    Path("tested_old.py").write_text("VALUE = 1\n")
    sys.path.append(str(module_folder))
    import tested_old

    Path("tested_old.py").write_text("VALUE = 22\n")
    assert tested_old.VALUE == 1
    assert import_attribute("tested_old:VALUE") == 22


def test_other_code_than_that_of_the_experiment_is_refused(module_folder):
    Path("tested_pin.py").write_text(HEAD + ENCODER)
    pinned = pin_import_path("tested_pin:encode")
    assert build(pinned).output_shape == (None, 3)
    Path("tested_pin.py").write_text(HEAD + ENCODER.replace("width, 3", "width, 5"))
    with pytest.raises(ExperimentError, match=r"has changed: .*Restore that code"):
        build(pinned)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("encode = 3", "is int, expected a function with the parameters"),
        ("def encode(x, width): return x", "unexpected keyword argument 'feature_dim'"),
        ("def encode(x, **options): return x", r"shape \(None, 128, 2\), expected \(None, 64\)"),
        ("def encode(x, **options): return None", "returned NoneType, expected the tensor"),
        ("raise OSError('no file')\nencode = 1", "cannot be imported: OSError: no file .*line 4"),
    ],
)
def test_what_is_no_encoder_is_refused_with_what_to_do(module_folder, source, problem):
    Path("tested_wrong.py").write_text(HEAD + source)
    with pytest.raises(ExperimentError, match=problem):
        build("tested_wrong:encode")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("None", "returned NoneType, expected the probabilities"),
        ("branches.encode_all()['time']", r"shape \(None, 64\), expected the probabilities"),
        (
            "layers.Activation('relu', name='p')(branches.classify(branches.encode_all()['time']))",
            "ends in the layer 'p', expected 'probabilities'",
        ),
    ],
)
def test_what_is_no_fusion_is_refused_with_what_to_do(module_folder, body, problem):
    Path("tested_fusion.py").write_text(f"{HEAD}def late_wrong(branches):\n    return {body}\n")
    settings = ModelSpec(
        branches={"time": "cnn", "tabular": "mlp"},
        fusion="tested_fusion:late_wrong",
        n_classes=3,
        kind="multi_label",
    )
    with pytest.raises(ExperimentError, match=problem):
        build_model({"time": SHAPES["time"], "tabular": SHAPES["tabular"]}, settings)
    assert load_fusion("tested_fusion:late_wrong").__name__ == "late_wrong"


def test_a_saved_network_names_a_module_only_if_it_has_layers_of_it(module_folder, monkeypatch):
    Path("tested_plain.py").write_text(HEAD + ENCODER)
    build(plain := pin_import_path("tested_plain:encode")).save("plain.keras")
    Path("tested_layers.py").write_text(
        HEAD + LAYER + ENCODER.replace("(x))\n", "(Twice()(x)))\n", 1)
    )
    build(special := pin_import_path("tested_layers:encode")).save("special.keras")
    for name in ("tested_plain", "tested_layers"):
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(module_folder)])

    import_layers(Path("plain.keras"), [plain])
    assert "tested_plain" not in sys.modules
    with pytest.raises(ExperimentError, match=r"not installed here.*PYTHONPATH"):
        import_layers(Path("special.keras"), [special])
    assert "tested_layers" not in sys.modules
    monkeypatch.syspath_prepend(str(module_folder))
    import_layers(Path("special.keras"), [special])
    assert keras.models.load_model("special.keras").output_shape == (None, 3)


def test_an_encoder_is_loaded_for_any_representation(module_folder):
    Path("tested_any.py").write_text(HEAD + ENCODER)
    assert load_encoder("frequency", "tested_any:encode").__name__ == "encode"
