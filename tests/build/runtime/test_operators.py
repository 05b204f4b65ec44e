"""Every operator of the integer domain in C++ against the reference.

The cases are those of tests/core/integer/test_simulator.py: its tests run here with another implementation to compare.
"""

from functools import partial

import pytest

from tests.build.runtime import programs
from tests.core.integer import test_simulator as cases
from tests.core.integer.test_simulator import (  # noqa: F401
    test_a_convolution_after_padding_takes_the_padded_code,
    test_an_operand_in_the_outputs_scale_is_clamped_too,
    test_average_pools_agree,
    test_chains_of_operators_agree,
    test_constants_agree,
    test_depthwise_convolutions_of_channels_with_their_own_scales_agree,
    test_every_output_of_a_split_agrees,
    test_float_operators_between_integer_ones_run_as_they_are,
    test_halves_at_ends_of_a_fixed_point_sum_go_up,
    test_joined_features_agree,
    test_linear_resizes_agree,
    test_matrix_products_of_features_agree,
    test_means_agree,
    test_moved_codes_agree,
    test_multipliers_of_31_bits_agree,
    test_operands_in_the_outputs_scale_are_joined_as_they_are,
    test_padding_is_a_code,
    test_prelus_agree,
    test_sums_and_products_of_features_agree,
    test_tables_agree_on_every_code,
    test_tables_of_each_channel_agree,
    test_weighted_operators_agree,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def compared(debug):
    """`agree` of those tests compares the runtime with the reference, layer by layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "agree", partial(programs.agree, debug))
        yield
