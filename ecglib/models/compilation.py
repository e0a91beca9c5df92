"""Whether XLA compiles models."""

import keras

# Without XLA, JAX computes one operation after the other. On the other backends XLA is slow to
# compile, no faster on a CPU, and changes the last digits.
COMPILES = keras.backend.backend() == "jax"
