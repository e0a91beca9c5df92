"""Writes a run's whole model in each format, and reads it back."""

import ecglib._keras  # noqa: F401

import contextlib
import dataclasses
import importlib.util
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from ecglib import paths
from ecglib.experiment.contract import Contract
from ecglib.inference.matrix_operations import use_matrix_operations

BATCH_SIZE = 64
INPUTS = ("signal", "tabular")
OUTPUT = "probabilities"

Writer = Callable[[keras.Model, Contract, Path], None]
Reader = Callable[[Path, list[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A format that a model can be exported to.

    Parameters
    ----------
    title : str
        Its name for people.
    file : str
        Name of the file or folder.
    write : callable
        Takes a model that it may change, the contract and the path of the file.
    read : callable
        Takes the path and the inputs, and returns the probabilities.
    modules : tuple of str, default ()
        Modules that it needs.
    only_float32 : bool, default False
        Whether it needs a model that computes in float32.
    only_tensorflow : bool, default False
        Whether Keras must run on TensorFlow to write it.

    Examples
    --------
    >>> FORMATS["onnx"].file
    'model.onnx'
    """

    title: str
    file: str
    write: Writer
    read: Reader
    modules: tuple[str, ...] = ()
    only_float32: bool = False
    only_tensorflow: bool = False

    def find_obstacle(self, precision: str) -> str:
        """Find why a run cannot be exported to this format.

        Parameters
        ----------
        precision : str
            Precision of the run.

        Returns
        -------
        str
            The reason, "" if there is none.
        """
        if self.only_float32 and precision != "float32":
            return f"{self.title} needs a model in float32, and the run computes in {precision}"
        if self.only_tensorflow and keras.backend.backend() != "tensorflow":
            return (
                f"{self.title} is written on TensorFlow, and this is {keras.backend.backend()}: "
                f"export the run with KERAS_BACKEND=tensorflow"
            )
        missing = [name for name in self.modules if not _is_installed(name)]
        if missing:
            names = " ".join(name.partition(".")[0] for name in missing)
            return f"{self.title} needs {', '.join(missing)}: python -m pip install {names}"
        return ""


def unpack_single(inputs: list[np.ndarray]) -> list[np.ndarray] | np.ndarray:
    """Return the only input of a list of one, as a model with one input expects it.

    Parameters
    ----------
    inputs : list of array
        One array for each input of a model.

    Examples
    --------
    >>> unpack_single([np.zeros((2, 4, 1))]).shape
    (2, 4, 1)
    """
    return inputs if len(inputs) > 1 else inputs[0]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _write_keras(model: keras.Model, contract: Contract, path: Path) -> None:
    model.save(path)


def _read_keras(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    model.jit_compile = False
    return model.predict(unpack_single(inputs), batch_size=BATCH_SIZE, verbose=0)


def _write_saved_model(model: keras.Model, contract: Contract, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)
    # TensorFlow leaves the folder assets.extra to others.
    paths.write_json(path / "assets.extra" / "contract.json", contract.to_dict())


def _read_saved_model(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    batches = _split_into_batches(inputs, BATCH_SIZE)
    return np.concatenate([np.asarray(layer(unpack_single(batch))) for batch in batches])


def _write_onnx(model: keras.Model, contract: Contract, path: Path) -> None:
    import onnx

    zeros = [np.zeros((1, *x.shape[1:]), np.float32) for x in model.inputs]
    model(unpack_single(zeros))  # Keras does not export a model before its use
    for layer in _iterate_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that a layer holds would become inputs of the ONNX model.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with use_matrix_operations(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks for np.object
        model.export(path, format="onnx", verbose=False)
    converted = onnx.load(path)
    _name_inputs_and_output(converted.graph)
    onnx.helper.set_model_props(converted, {"contract": json.dumps(contract.to_dict())})
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


def _read_onnx(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batches = _split_into_batches(inputs, BATCH_SIZE)
    fed = (dict(zip(INPUTS, batch, strict=False)) for batch in batches)
    return np.concatenate([session.run(None, feed)[0] for feed in fed])


def _write_tflite(model: keras.Model, contract: Contract, path: Path) -> None:
    """Convert a model of batches of one window: TFLite plans its memory for fixed shapes."""
    import tensorflow as tf

    window = [
        tf.TensorSpec((1, *x.shape[1:]), tf.float32, name=name)
        for name, x in zip(INPUTS, model.inputs, strict=False)
    ]
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]

    @tf.function(input_signature=window)
    def serve(*inputs: Any) -> dict[str, Any]:
        return {OUTPUT: model(unpack_single(list(inputs)), training=False)}

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, _silence_tensorflow():
        with use_matrix_operations():
            signature = serve.get_concrete_function()
        tf.saved_model.save(module, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = converter.convert()
    path.write_bytes(_embed_contract(content, contract))


def _embed_contract(content: bytes, contract: Contract) -> bytes:
    """Add the contract to the metadata of a TFLite model."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(contract.to_dict()).encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "contract", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _read_tflite(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import tensorflow as tf

    with _silence_tensorflow():
        interpreter = tf.lite.Interpreter(str(path))
    run = interpreter.get_signature_runner()
    batches = _split_into_batches(inputs, 1)
    fed = (dict(zip(INPUTS, batch, strict=False)) for batch in batches)
    return np.concatenate([run(**feed)[OUTPUT] for feed in fed])


@contextlib.contextmanager
def _silence_tensorflow() -> Iterator[None]:
    """Hide what the converter and the interpreter write about themselves."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_inputs_and_output(graph: Any) -> None:
    """Name the only output "probabilities", and the first axis of inputs and output "n_windows"."""
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [OUTPUT if name == output.name else name for name in names]
    output.name = OUTPUT
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "n_windows"


def _iterate_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _iterate_layers(layer)


def _split_into_batches(inputs: list[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(inputs[0]), size):
        yield [array[start : start + size] for array in inputs]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "keras": Format(
            title="Keras",
            file="model.keras",
            write=_write_keras,
            read=_read_keras,
        ),
        "savedmodel": Format(
            title="SavedModel",
            file="saved_model",
            write=_write_saved_model,
            read=_read_saved_model,
            only_tensorflow=True,
        ),
        "onnx": Format(
            title="ONNX",
            file="model.onnx",
            write=_write_onnx,
            read=_read_onnx,
            modules=("tf2onnx", "onnx", "onnxruntime"),
            only_float32=True,
            only_tensorflow=True,
        ),
        "tflite": Format(
            title="TFLite",
            file="model.tflite",
            write=_write_tflite,
            read=_read_tflite,
            modules=("tensorflow.lite",),
            only_float32=True,
            only_tensorflow=True,
        ),
    }
)
