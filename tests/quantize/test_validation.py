"""Comparing candidates on the validation pictures."""

import pytest

from tests.quantize.candidates import new_candidate, plain_error, validator


def test_it_measures_on_the_validation_pictures(calibrated):
    candidate = new_candidate(weight_bits=4)
    assert validator().error(candidate) == pytest.approx(
        plain_error(candidate.lowered()[0].SerializeToString()), rel=1e-5
    )


def test_it_accepts_what_improves_and_says_by_how_much(calibrated):
    coarse, fine, validation = new_candidate(weight_bits=2), new_candidate(weight_bits=8), validator()
    assert validation.better(coarse, fine, "more bits") is fine
    errors = f"{validation.error(coarse):.4g} -> {validation.error(fine):.4g}"
    assert validation.notes == [f"more bits: error of the outputs on 2 validation pictures {errors}"]


def test_it_refuses_what_does_not_and_says_so(calibrated):
    coarse, fine, validation = new_candidate(weight_bits=2), new_candidate(weight_bits=8), validator()
    assert validation.better(fine, coarse, "fewer bits") is fine
    assert validation.notes[0].startswith("fewer bits: error of the outputs on 2 validation pictures ")
    assert validation.notes[0].endswith(": refused, it does not improve")
    assert validation.better(fine, fine.copy(), "nothing") is fine
    assert validation.notes[1].endswith(": refused, it does not improve")
