"""A fair referee for multimodal ECG models.

Importing the package is cheap: TensorFlow, Keras, wfdb and matplotlib are imported by the
modules that need them.
"""

import os

__version__ = "0.1.0"

# TensorFlow's C++ log is silenced unless asked for: set TF_CPP_MIN_LOG_LEVEL=0 to see it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
