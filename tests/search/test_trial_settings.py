from stages.core.config.schema import Equalization, QuantConfig, Rounding
from stages.search.trial_settings import trial_settings


def test_what_needs_no_pictures_stays():
    quant = QuantConfig("q", equalization=Equalization.cross_layer)
    assert trial_settings(quant) == (quant, [])


def test_what_is_fitted_is_left_out_and_said():
    plain, notes = trial_settings(QuantConfig("q", rounding=Rounding.reconstruct, equalization=Equalization.measured))
    assert (plain.rounding, plain.equalization) == (Rounding.nearest, Equalization.none)
    assert notes == [
        "tried with quant.equalization=none, quant.rounding=nearest: what is fitted or measured on samples is left out"
    ]
