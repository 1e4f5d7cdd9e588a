"""Data sets that come with the package."""

from tinygrad_edu.data.digits import Digits, load_digits

__all__ = ["Digits", "load_digits"]
