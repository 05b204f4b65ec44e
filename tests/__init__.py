"""The tests. Each core has a test process of its own, so every library in it keeps to one thread.

Threads beside them would only take turns, spinning; and a forked process, as the sweep has them, must not inherit an
ONNX Runtime session with threads, which it could never end.
"""

import os

for name in ("SOCQUANT_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
