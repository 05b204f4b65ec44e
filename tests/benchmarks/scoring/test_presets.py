from pathlib import Path

import pytest

from benchmarks.scoring.evaluation import TASKS
from benchmarks.scoring.presets import ABLATIONS, PRESETS, Preset, select_presets
from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from tests.conftest import copy_conf

INT8 = Preset("int8", 8, 8, "t40", ())
BEST = [Preset("best", weights, features, "t40", ()) for weights, features in ((8, 8), (4, 8), (4, 4))]
DETECTOR_ONLY = Preset("best-per-tensor", 8, 8, "t40", (), ("yolox",))


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_conf(tmp_path_factory.mktemp("conf"))


def test_a_name_selects_all_its_bit_widths() -> None:
    presets = [INT8, *BEST, DETECTOR_ONLY]
    assert select_presets(presets, "lite0", "best") == BEST
    assert select_presets(presets, "lite0", None) == [INT8, *BEST]
    assert select_presets(presets, "yolox", "best-per-tensor,int8") == [INT8, DETECTOR_ONLY]
    assert select_presets(presets, "yolox", "none") == []


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UserError, match=r"lite0 has no preset 'int9'.*int8"):
        select_presets([INT8], "lite0", "int9")


@pytest.mark.slow
@pytest.mark.parametrize("preset", dict.fromkeys([*PRESETS, *ABLATIONS]), ids=lambda preset: "/".join(preset.overrides))
def test_the_overrides_compose_to_the_bit_widths_of_the_row(conf: Path, preset: Preset) -> None:
    quant = compose([f"soc={preset.soc}", *preset.overrides], conf)[0].quant
    assert (quant.weight_bits, quant.feature_bits) == (preset.weight_bits, preset.feature_bits)
    assert set(preset.networks) <= set(TASKS)


@pytest.mark.parametrize("presets", [PRESETS, ABLATIONS])
def test_no_two_presets_of_a_list_share_name_and_bit_widths(presets: list[Preset]) -> None:
    rows = [(preset.name, preset.weight_bits, preset.feature_bits) for preset in presets]
    assert len(set(rows)) == len(rows)
