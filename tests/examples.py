"""How many examples a property test takes: all in the whole suite, a third in the quick part."""

import os

from hypothesis import settings

__all__ = ["examples", "load_profile"]

USUAL = 100
QUICK_EXPRESSION = "not slow"


def load_profile(markers: str) -> None:
    """Choose by `-m`; the same examples every time, but with HYPOTHESIS_PROFILE=explore, which looks for new ones."""
    settings.register_profile("steady", derandomize=True, max_examples=USUAL)
    settings.register_profile("quick", derandomize=True, max_examples=USUAL // 3)
    settings.register_profile("explore", derandomize=False, max_examples=USUAL)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick" if markers == QUICK_EXPRESSION else "steady"))


def examples(most: int) -> settings:
    """The settings of a property test.

    Args:
        most: examples in the whole suite.
    """
    return settings(deadline=None, max_examples=most * settings().max_examples // USUAL)
