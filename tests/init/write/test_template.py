"""Every key of the schema stands in the template, with its default and its meaning."""

import dataclasses
import re

import pytest
import yaml
from omegaconf import OmegaConf

from stages.core.config.schema import DataConfig, InputConfig, ModelConfig, PreprocessConfig, Task
from stages.init.write.template import data_template, model_template


def is_comment(line):
    """Keys stand an even number of spaces behind the first #, text an odd one, or behind another #."""
    if "#" not in line.split(":")[0]:
        return False
    rest = line.lstrip()[1:]
    return rest.lstrip().startswith("#") or (len(rest) - len(rest.lstrip())) % 2 == 1


def uncommented(text):
    """The content with every commented key in force."""
    kept = [line for line in text.splitlines() if not is_comment(line)]
    return yaml.safe_load("\n".join(re.sub(r"^( *)#", r"\1", line) for line in kept))


def test_every_key_of_the_model_stands_with_its_default():
    content = uncommented(model_template("my").replace("???", "a"))
    assert content.keys() == {field.name for field in dataclasses.fields(ModelConfig)}
    merged = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), content))
    assert merged == ModelConfig(name="my", source="a")


def test_every_key_of_the_sets_stands_with_its_default():
    content = uncommented(data_template("my").replace("???", "a"))
    assert content.keys() == {field.name for field in dataclasses.fields(DataConfig)}
    merged = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), content))
    assert merged.correction == DataConfig().correction
    assert merged.evaluation == dataclasses.replace(DataConfig().evaluation, source="a", task=Task.none)


@pytest.mark.parametrize("kind", [InputConfig, PreprocessConfig])
def test_keys_of_groups_stand_too(kind):
    text = model_template("my")
    for field in dataclasses.fields(kind):
        assert re.search(rf"#\s+{field.name}:", text), field.name


def test_meanings_are_the_schema_s_comments():
    text = " ".join(model_template("my").split())
    assert "# in the units of pixels or numbers: (x - mean) / normal; default [0]" in text
    assert "# stretch | letterbox | crop" in text
