"""What a project from before 0.4.0 imports under this name stands in checkpoint.py."""

import sys

from . import checkpoint
from .checkpoint import newest_run, pick_checkpoint, restore_network

__all__ = ["newest_run", "pick_checkpoint", "restore_network"]

# the same module, so that a test which replaces a function in one replaces it in the other
sys.modules[__name__] = checkpoint
