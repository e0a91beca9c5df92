"""``python -m ecglib`` is the command ``ecglib``."""

import sys

from ecglib.cli import main

sys.exit(main())
