"""Parts of an operation's attributes, from the record of the integer domain."""

from stages.build.runtime.contract import Clamp, Scaled
from stages.core.integer.operators import CodesOperator
from stages.core.integer.operators.fixed_point import FixedPoint

__all__ = ["clamp_of", "scaled_of"]


def clamp_of(operator: CodesOperator) -> Clamp:
    """The codes that leave an operator."""
    return Clamp(operator.low, operator.high)


def scaled_of(operator: FixedPoint) -> Scaled:
    """The end of a fixed-point operator."""
    return Scaled(operator.shift, clamp_of(operator))
