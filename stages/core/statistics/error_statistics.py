"""Error statistics: the sums and extremes that measures of similarity follow from."""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["ErrorStatistics", "error_statistics"]


class ErrorStatistics(NamedTuple):
    """Statistics of a tensor f, another one q, and the error f - q.

    Attributes:
        f_squared: sum of f^2.
        q_squared: sum of q^2.
        product: sum of f q.
        error: sum of f - q.
        error_squared: sum of (f - q)^2.
        worst: largest absolute error.
        low: smallest f.
        high: largest f.
    """

    f_squared: float
    q_squared: float
    product: float
    error: float
    error_squared: float
    worst: float
    low: float
    high: float


def error_statistics(f: NDArray[Any], q: NDArray[Any]) -> ErrorStatistics:
    """Add up in double over two tensors of equal shape; all is 0 for empty ones.

    The sums do not depend on the number of threads. Where a value is not finite `error` is not, and the extremes are
    undefined.
    """
    if f.dtype != np.float32 or q.dtype != np.float32:
        f, q = f.astype(np.float64), q.astype(np.float64)
    flat, other = (np.ascontiguousarray(side).reshape(-1) for side in (f, q))
    return ErrorStatistics(*_sums(flat, other), *_extremes(flat, other)) if flat.size else ErrorStatistics(*[0.0] * 8)


@numba.njit(cache=True, nogil=True)
def _sums(f: NDArray[Any], q: NDArray[Any]) -> tuple[float, float, float, float, float]:
    """Four running sums of each kind break the dependency between additions; their order is fixed."""
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = e0 = e1 = e2 = e3 = 0.0
    whole = f.size - f.size % 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = np.float64(f[i]), np.float64(f[i + 1]), np.float64(f[i + 2]), np.float64(f[i + 3])
        y0, y1, y2, y3 = np.float64(q[i]), np.float64(q[i + 1]), np.float64(q[i + 2]), np.float64(q[i + 3])
        a0, a1, a2, a3 = a0 + x0 * x0, a1 + x1 * x1, a2 + x2 * x2, a3 + x3 * x3
        b0, b1, b2, b3 = b0 + y0 * y0, b1 + y1 * y1, b2 + y2 * y2, b3 + y3 * y3
        c0, c1, c2, c3 = c0 + x0 * y0, c1 + x1 * y1, c2 + x2 * y2, c3 + x3 * y3
        x0, x1, x2, x3 = x0 - y0, x1 - y1, x2 - y2, x3 - y3
        d0, d1, d2, d3 = d0 + x0, d1 + x1, d2 + x2, d3 + x3
        e0, e1, e2, e3 = e0 + x0 * x0, e1 + x1 * x1, e2 + x2 * x2, e3 + x3 * x3
    for i in range(whole, f.size):
        x, y = np.float64(f[i]), np.float64(q[i])
        a0, b0, c0 = a0 + x * x, b0 + y * y, c0 + x * y
        d0, e0 = d0 + (x - y), e0 + (x - y) * (x - y)
    return a0 + a1 + a2 + a3, b0 + b1 + b2 + b3, c0 + c1 + c2 + c3, d0 + d1 + d2 + d3, e0 + e1 + e2 + e3


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _extremes(f: NDArray[Any], q: NDArray[Any]) -> tuple[float, float, float]:
    """Largest absolute error, smallest and largest f, in loops of their own: each is vectorized."""
    worst, low, high = 0.0, f[0], f[0]
    for i in range(f.size):
        error = abs(np.float64(f[i]) - np.float64(q[i]))
        worst = error if error > worst else worst
    for i in range(f.size):
        low = f[i] if f[i] < low else low
        high = f[i] if f[i] > high else high
    return worst, low, high
