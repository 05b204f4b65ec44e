from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from stages.core.config.composition import open_conf
from stages.sweep.sweep_config import SweepConfig
from stages.sweep.sweep_plan import SweepPlan, check_points, planned
from tests.conftest import REPOSITORY


@pytest.fixture
def composed_with(monkeypatch):
    """Composes a sweep as the command does, with Hydra left initialized."""
    monkeypatch.chdir(REPOSITORY)
    with open_conf(Path("conf"), (), SweepConfig):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *overrides: loader.load_configuration("sweep", list(overrides), RunMode.MULTIRUN)


def test_points_are_every_combination_named_or_typed(composed_with):
    plan = planned(composed_with("quant.feature_bits=4,8", "soc=t41", "quant.weight_bits=2,8"))
    assert plan.varied == ("quant.feature_bits", "quant.weight_bits")
    assert plan.points == tuple(
        (f"quant.feature_bits={features}", "soc=t41", f"quant.weight_bits={weights}")
        for features in (4, 8)
        for weights in (2, 8)
    )
    named = planned(composed_with("experiment=bits"))
    assert (named.total, named.points[0]) == (8, ("quant.feature_bits=4", "quant.weight_bits=4", "experiment=bits"))


@pytest.mark.slow
def test_of_a_sweeper_that_chooses_its_points_as_it_goes_the_rest_is_checked(composed_with, capsys):
    plan = SweepPlan(("quant.percentile",), None, 20)
    check_points(composed_with("quant.percentile=99,100"), plan, REPOSITORY)
    assert capsys.readouterr().err == ""
    check_points(composed_with("quant.percentile=99,100", "quant.feature_bits=9"), plan, REPOSITORY)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the experiment cannot work without what the sweep varies: quant.feature_bits=9: ")
