from dataclasses import replace

from hydra.core.override_parser.overrides_parser import OverridesParser

from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant, alternatives, inputs_override
from stages.core.config.schema import Color, InputConfig
from tests.compare.diagnose.inputs.fed_networks import TRAINED


def test_alternatives():
    other = replace(TRAINED, mean=(1.0, 2.0, 3.0), normal=(4.0, 5.0, 6.0))
    shown = [str(variant) for variant in alternatives(PreprocessingVariant(other))]
    assert shown[:2] == ["BGR, mean [3, 2, 1], normal [6, 5, 4]", "BGR, mean [1, 2, 3], normal [4, 5, 6]"]
    assert shown[-1] == "RGB, mean [123.675, 116.28, 103.53], normal [58.395, 57.12, 57.375]"
    assert len(shown) == 8
    assert len(alternatives(PreprocessingVariant(TRAINED))) == 6  # itself left out, and both exchanges are one
    bgr = alternatives(PreprocessingVariant(replace(TRAINED, color=Color.BGR)))
    assert str(bgr[-1]) == "BGR, mean [103.53, 116.28, 123.675], normal [57.375, 57.12, 58.395]"
    grey = replace(TRAINED, shape=(1, 1, 4, 4), mean=(127.0,), normal=(128.0,), color=Color.GRAY)
    assert [variant.network_input.color for variant in alternatives(PreprocessingVariant(grey))] == [Color.GRAY] * 4


def test_the_line_to_type():
    variant = PreprocessingVariant(replace(TRAINED, color=Color.BGR, mean=(1.5, 2.0, 3.0)))
    line = inputs_override([InputConfig("a:0")], variant)
    assert line == 'model.inputs=[{name: "a:0", mean: [1.5, 2, 3], normal: [128], color: BGR}]'
    (value,) = OverridesParser.create().parse_override(line).value()
    assert value["mean"] == [1.5, 2, 3]
    line = inputs_override([], PreprocessingVariant(TRAINED))
    assert line == "model.inputs=[{mean: [127], normal: [128], color: RGB}]"
