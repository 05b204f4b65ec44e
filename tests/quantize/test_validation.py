"""Comparing candidates on the validation pictures."""

import onnx
import pytest

from stages.core.base.paths import CALIBSET, FLOAT_MODEL
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_store import validation_samples
from stages.quantize.validation import Validator
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


def test_what_is_no_picture_is_called_a_sample(calibrated):
    vector = NetworkInput("x", (1, 4), (0.0,), (1.0,), Color.RGB)
    validation = Validator(onnx.load(FLOAT_MODEL), [vector], validation_samples(CALIBSET))
    validation.error = lambda candidate, features_only=False: 1.0
    validation.better(new_candidate(), new_candidate(), "nothing")
    assert "on 2 validation samples 1 -> 1" in validation.notes[0]
