import pytest

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from stages.core.config.schema import (
    ChannelScales,
    Color,
    FakeQuant,
    FeatureMethod,
    Fit,
    Head,
    PictureSet,
    Rounding,
)

# --- what composition refuses

FILES = [
    ("soc=t99", "soc=t99: ", "a1, bm1684, bm1684x, bm1688, cv181x, cv183x, cv186x, t40, t41, x2500"),
    (
        "quant=a99",
        "quant=a99: ",
        "a10w8, a12w8, a16w8, a32w8, a4w4, a8w32, a8w4, best, int8, vendor_aciq_gauss, vendor_aciq_laplace, vendor_kl, "
        "vendor_max, vendor_mse, vendor_percentile9999",
    ),
    (
        "model=resnet",
        "model=resnet: ",
        "centerface, efficientnet_lite0, nudenet, onnx, yolo11n, yolo26n, yolov5s, yolov8n, yolox_nano, yunet",
    ),
    ("data=coco", "data=coco: ", "detection, detection_demo, folder, imagenet_demo"),
]


@pytest.mark.parametrize(("override", "problem", "choices"), FILES)
def test_an_unknown_file_of_a_group_comes_with_those_there_are(refused, override, problem, choices):
    message = refused(override)
    assert message.startswith(problem)
    assert message.endswith(f"choose one of {choices}")


@pytest.mark.parametrize("override", ["quant.feature_bits", "quant.feature_bits=[1", "'a b'=3"])
def test_an_override_that_is_none_is_quoted(refused, override):
    assert refused(override).startswith(f"override {override!r} is not KEY=VALUE; ")


@pytest.mark.parametrize("override", ["soc=40", "model=null", "=3"])
def test_a_group_that_is_given_no_file_is_a_user_error(refused, override):
    assert override.split("=", maxsplit=1)[0] in refused(override)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml is missing: run this in the project's folder"):
        compose([], tmp_path)


def test_a_config_file_that_is_not_yaml_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.yaml").write_text("defaults:\n  - schema\n  - _self_\nquant: [\n")
    with pytest.raises(UserError) as caught:
        compose([], tmp_path)
    assert "\n" not in str(caught.value)


# --- what composition gives


def test_overrides_reach_the_config(composed):
    config, _ = composed
    (entry,) = config.model.inputs
    assert (entry.mean, entry.normal, entry.color) == ([128.0], [64.0], None)
    assert config.model.source == "file:tiny.onnx"
    assert config.model.preprocess.fit is Fit.stretch
    assert config.quant.feature_method is FeatureMethod.MAX_ABS


def test_corrections_have_no_pictures_of_their_own_unless_given(composed, conf):
    data = composed[0].data
    assert data.correction == data.validation == PictureSet(source=None, size=None)
    config, _ = compose(
        ["data.correction.source=file:a", "data.validation.source=file:b", "data.validation.size=2"], conf
    )
    assert (config.data.correction, config.data.validation) == (PictureSet("file:a"), PictureSet("file:b", 2))
    assert (config.watch.correction, config.watch.validation) == ("a", "b")


def test_the_controls_default_to_nothing(composed):
    quant = composed[0].quant
    assert (quant.skip_nodes, quant.skip_ops, quant.node_bits, quant.node_ranges) == ([], [], None, True)
    assert (quant.fake_quant, quant.head, quant.percentile) == (FakeQuant.none, Head.quantized, 99.99)
    assert quant.edge_bits is None
    assert quant.channel_scales is ChannelScales.never
    assert quant.rounding is Rounding.nearest
    assert (quant.steps, quant.variants) == (None, 4)
    assert (quant.weight_correction, quant.feature_correction) == (False, False)


def test_the_controls_reach_the_config(conf):
    config, _ = compose(["quant.skip_nodes=[a,/b/Conv]", "quant.skip_ops=[Conv]", "quant.fake_quant=weight"], conf)
    assert config.quant.skip_nodes == ["a", "/b/Conv"]
    assert config.quant.skip_ops == ["Conv"]
    assert config.quant.fake_quant is FakeQuant.weight


def test_arguments_of_a_torch_callable_are_free(conf):
    config, _ = compose(["+model.torch.arguments.depth=[1, x]"], conf)
    assert config.model.torch.arguments == {"model_name": "efficientnet-lite0", "depth": [1, "x"]}


def test_several_inputs_keep_their_order(conf):
    config, _ = compose(["model.inputs=[{name: a, color: BGR}, {name: b, shape: [1, 1, 4, 4]}]"], conf)
    assert [entry.name for entry in config.model.inputs] == ["a", "b"]
    assert config.model.inputs[0].color is Color.BGR
    assert config.model.inputs[1].shape == [1, 1, 4, 4]
