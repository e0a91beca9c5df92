import sys
from pathlib import Path

# `check.py` is a helper of these tests only; with importlib mode its folder is on no path.
sys.path.insert(0, str(Path(__file__).parent))
