import pytest

from benchmarks.accuracy import ABLATIONS, KEYS, PRESETS, Preset, chosen, complete, split, table
from benchmarks.evaluation import TASKS
from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from tests.conftest import REPOSITORY

INT8 = Preset("int8", 8, 8, "t40", ())
BEST = [Preset("best", weights, features, "t40", ()) for weights, features in ((8, 8), (4, 8), (4, 4))]
DETECTOR_ONLY = Preset("best-per-tensor", 8, 8, "t40", (), ("yolox",))


def test_every_eighth_calibrates() -> None:
    calibration, evaluation = split(range(20), 0, 8)
    assert calibration == [0, 8, 16]
    assert evaluation == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19]


@pytest.mark.parametrize(("offset", "counts"), [(0, (63, 437)), (3, (63, 437)), (4, (62, 438))])
def test_counts_of_the_real_set(offset: int, counts: tuple[int, int]) -> None:
    calibration, evaluation = split(range(500), offset, TASKS["lite0"].period)
    assert (len(calibration), len(evaluation)) == counts


def test_a_detector_swaps_halves() -> None:
    assert split("abcde", 0, TASKS["yolox"].period) == (["a", "c", "e"], ["b", "d"])
    assert split("abcde", 1, TASKS["yolox"].period) == (["b", "d"], ["a", "c", "e"])


@pytest.mark.parametrize("offset", [-1, 2])
def test_other_offsets_are_refused(offset: int) -> None:
    with pytest.raises(UserError, match=rf"--offset {offset}: must be 0 to 1"):
        split("abcde", offset, 2)


def test_presets_by_name_take_all_widths() -> None:
    presets = [INT8, *BEST, DETECTOR_ONLY]
    assert chosen(presets, "lite0", "best") == BEST
    assert chosen(presets, "lite0", None) == [INT8, *BEST]
    assert chosen(presets, "yolox", "best-per-tensor,int8") == [INT8, DETECTOR_ONLY]
    assert chosen(presets, "yolox", "none") == []


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UserError, match=r"lite0 has no preset 'int9'.*int8"):
        chosen([INT8], "lite0", "int9")


@pytest.mark.parametrize("preset", dict.fromkeys([*PRESETS, *ABLATIONS]), ids=lambda preset: "/".join(preset.overrides))
def test_the_overrides_compose_to_the_widths_of_the_row(preset: Preset) -> None:
    quant = compose([f"soc={preset.soc}", *preset.overrides], REPOSITORY / "conf")[0].quant
    assert (quant.weight_bits, quant.feature_bits) == (preset.weight_bits, preset.feature_bits)
    assert set(preset.networks) <= set(TASKS)


@pytest.mark.parametrize("presets", [PRESETS, ABLATIONS])
def test_no_two_presets_of_a_list_share_name_and_widths(presets: list[Preset]) -> None:
    rows = [(preset.name, preset.weight_bits, preset.feature_bits) for preset in presets]
    assert len(set(rows)) == len(rows)


def test_a_row_has_every_key() -> None:
    row = complete({"tool": "x", "network": "lite0", "top1": 3})
    required = "network tool weight_bits feature_bits top1 float_top1 agreement cosine map float_map count seconds"
    assert list(row)[:12] == required.split()
    assert list(row) == KEYS
    assert (row["tool"], row["top1"], row["map"]) == ("x", 3, None)
    assert complete({"error": "why"})["error"] == "why"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="top2"):
        complete({"top2": 1})


def test_the_table_leaves_out_what_applies_to_none() -> None:
    shown = table([complete({"network": "lite0", "tool": "a", "top1": 3}), complete({"network": "lite0", "tool": "b"})])
    assert [column.header for column in shown.columns] == ["network", "tool", "top1"]
    assert list(shown.columns[2].cells) == ["3", "-"]
