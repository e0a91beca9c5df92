import itertools

import keras
import numpy as np
from check import assert_close, build_tail, build_tiny_model
from keras import ops

RANDOM = np.random.default_rng(0)
TWO = {"time": "cnn", "frequency": "cnn"}
THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}


class TestFilm:
    def test_without_scale_and_shift_it_is_plain_concatenation(self):
        film = build_tiny_model(TWO, "intermediate_film", feature_dim=8)
        plain = build_tiny_model(TWO, "intermediate_concat", feature_dim=8)
        for name, part in itertools.product(TWO, ("scale", "shift")):
            layer = film.get_layer(f"{name}_{part}")
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
        # The following layers, the mixing and the head, have the same shapes in both.
        for one, other in zip(
            plain.trainable_weights[-4:], film.trainable_weights[-4:], strict=True
        ):
            other.assign(one)
        vectors = np.abs(RANDOM.normal(size=(2, 6, 8)))  # features are never negative
        assert_close(build_tail(film, TWO)(*vectors), build_tail(plain, TWO)(*vectors), atol=1e-6)

    def test_each_branch_is_modulated_by_the_others_only(self):
        model = build_tiny_model(THREE, "intermediate_film")
        vectors = [model.get_layer(f"{name}_features").output for name in THREE]
        scales = keras.Model(vectors, [model.get_layer(f"{name}_scale").output for name in THREE])
        x = RANDOM.normal(size=(3, 4, 8)).astype("float32")
        before = [ops.convert_to_numpy(scale) for scale in scales(list(x))]
        for changed in range(3):
            other = x.copy()
            other[changed] += 1
            after = [ops.convert_to_numpy(scale) for scale in scales(list(other))]
            moved = [np.abs(a - b).max() > 1e-4 for a, b in zip(after, before, strict=True)]
            assert moved == [branch != changed for branch in range(3)]
