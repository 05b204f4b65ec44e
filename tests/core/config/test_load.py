from dataclasses import replace

import pytest

from stages.core.base.errors import UserError
from stages.core.config.load import load_params


def test_the_composed_text_loads_as_the_composed_config(params, composed):
    assert load_params(params) == composed[0]


def test_a_key_left_out_is_named(params):
    params.write_text(params.read_text().replace("  fp32_diff: 0.001\n", ""))
    with pytest.raises(UserError, match=r"params\.yaml lacks model\.fp32_diff: write it anew"):
        load_params(params)


def test_an_edited_value_is_read(params, composed):
    params.write_text(params.read_text().replace("feature_bits: 8\n", "feature_bits: 12\n"))
    expected = replace(composed[0], quant=replace(composed[0].quant, feature_bits=12))
    assert load_params(params) == expected


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("feature_bits: 8\n", "feature_bitz: 8\n", "quant.feature_bitz: no such key of quant; did you mean"),
        ("feature_bits: 8\n", "feature_bits: x\n", "give a whole number"),
        ("feature_bits: 8\n", "feature_bits: 5\n", "quant.feature_bits=5: the T40 cannot do 5 bits"),
        ("feature_method: MAX_ABS", "feature_method: MAX", "give one of MAX_ABS, KL"),
        ("    mean:\n", "    maen:\n", "model.inputs[].maen: no such key"),
        ("  name: int8\n", "", "quant.name has no value"),
        ("quant:\n", "quant: [\n", "is not YAML"),
    ],
)
def test_a_mistake_in_params_is_said_in_one_line(params, old, new, said):
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_params(params)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_soc_that_conf_lacks_is_refused(params, project, monkeypatch):
    monkeypatch.chdir(project)
    params.write_text(params.read_text().replace("name: T40\n", "name: T4O\n"))
    with pytest.raises(UserError, match=r"^soc\.name=T4O: conf/soc has no such file; .*; did you mean .*'t40'"):
        load_params(params)


@pytest.mark.parametrize("content", ["", "3\n", "- a\n", "text\n"])
def test_params_that_hold_no_keys_are_a_user_error_that_names_the_file(params, content):
    params.write_text(content)
    with pytest.raises(UserError, match=r"params\.yaml") as caught:
        load_params(params)
    assert "\n" not in str(caught.value)


def test_missing_params_say_how_to_write_them(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing: write it with `python -m stages\.compose`"):
        load_params(tmp_path / "params.yaml")
