"""What a project from before 0.4.0 imports under this name stands in runtime.py."""

from .runtime import tensors

__all__ = ["tensors"]
