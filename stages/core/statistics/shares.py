"""What a share says that was counted on few: whether it is surely above a limit, and where it may lie."""

import math

__all__ = ["MIN_BOXES", "likely_share", "surely_more"]

MIN_BOXES = 10
"""Of fewer boxes a share says little."""
CHANCE = 0.05
"""More are lost for certain if what loses as many as tolerated would lose them in fewer cases than these."""
DEVIATIONS = 1.96
"""Of the normal distribution's 95 %."""
MOST_EXACT = 1000
"""Of more a share is no matter of chance."""


def surely_more(lost: int, count: int, tolerated: float) -> bool:
    """Say whether more are lost than tolerated, and not by chance (binomial).

    Args:
        lost: of `count`, which are drawn independently.
        count: of all.
        tolerated: share that may be lost.
    """
    if lost <= tolerated * count:
        return False
    if count > MOST_EXACT:
        return True
    chance = sum(math.comb(count, k) * tolerated**k * (1 - tolerated) ** (count - k) for k in range(lost, count + 1))
    return chance < CHANCE


def likely_share(kept: int, count: int) -> tuple[float, float]:
    """Give the 95 % interval of a share, of `count` that are drawn independently (Wilson)."""
    share, spread = kept / count, DEVIATIONS**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = DEVIATIONS * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
