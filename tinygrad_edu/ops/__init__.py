"""The ops: registrations only, one file per family. Importing this package registers them all."""

from tinygrad_edu.ops import (  # noqa: F401  # imported for the registrations
    activations,
    elementwise,
    index,
    linalg,
    losses,
    reduce,
    shape,
)
