"""Whether XLA compiles models."""

import keras

# JAX computes one operation after the other without; on the others XLA is slow to compile, no
# faster on a CPU, and gives other last bits.
COMPILES = keras.backend.backend() == "jax"
