"""Names of models that configs can have."""

import pytest

from stages.core.base.errors import UserError
from stages.init.model_name import free_name, model_name


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("my net", "my_net"),
        ("320n", "320n"),
        ("640", "model_640"),
        ("1e5", "model_1e5"),
        ("2024_01", "model_2024_01"),
        ("true", "model_true"),
        ("no", "model_no"),
        ("null", "model_null"),
        ("...", "model"),
    ],
)
def test_of_a_file(stem, name):
    """Never one that YAML or Hydra read as a number, a truth or nothing."""
    assert model_name(None, stem) == name


@pytest.mark.parametrize("given", ["640", "1.5", "True", "nan", "off"])
def test_a_value_is_no_name(given):
    with pytest.raises(UserError, match=rf"^--name {given}: a config would read it as a number"):
        model_name(given, "net")


@pytest.mark.parametrize("given", ["", "a b", "../a", "größe", "a=1"])
def test_characters_that_no_name_has(given):
    with pytest.raises(UserError, match="give letters a to z, digits and"):
        model_name(given, "net")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# YOLOv8n of the project\nname: net\n", "my_net"),
        ("name: net\n# read by `python -m stages.init`\n", "my_net"),
        ("# net.onnx (exporter unknown), read by `python -m\n# stages.init`.\nname: net\n", "net"),
        (None, "net"),
    ],
)
def test_the_name_of_another_model_is_left_to_it(tmp_path, text, name):
    (tmp_path / "model").mkdir()
    if text is not None:
        (tmp_path / "model" / "net.yaml").write_text(text)
    assert free_name("net", tmp_path) == name
