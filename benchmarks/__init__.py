"""How fast the engine is, next to hand-written NumPy and other autograd engines.

Run `python -m benchmarks` from the root of the repository.
"""

import os

# BLAS reads these once, when it is loaded: hence here, before anything imports NumPy.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "2"
