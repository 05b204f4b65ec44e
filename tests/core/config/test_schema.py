from dataclasses import fields
from operator import attrgetter

from stages.core.base.sources import PINNED_PATH
from stages.core.config.composition import compose
from stages.core.config.schema import (
    PICTURE_SETS,
    SOURCE_KEYS,
    DataConfig,
    SocConfig,
    ToolchainConfig,
    WatchConfig,
)
from tests.conftest import REPOSITORY


def test_what_is_quantized_does_not_depend_on_the_converter():
    one, other = SocConfig(name="T40"), SocConfig(name="T40", toolchain=ToolchainConfig("tool", "kit"))
    assert one.arithmetic == other.arithmetic
    assert one.arithmetic != SocConfig(name="T41").arithmetic


def test_every_watched_source_is_a_key_of_the_config():
    config, _ = compose([], REPOSITORY / "conf")
    for key in SOURCE_KEYS.values():
        attrgetter(key)(config)
    others = ["metric", "decoding", "toolchain", "compilers", "compiled", "simulated"]
    assert [*SOURCE_KEYS, *others] == [field.name for field in fields(WatchConfig)]


def test_what_stages_write_is_none_of_the_users_files():
    """A sweep's points have links to those."""
    watched = compose(["data=folder", "data.calibration.source=file:a", "data.debug.source=file:b",
                       "data.evaluation.source=file:c"], REPOSITORY / "conf")[0].watch  # fmt: skip
    watched.compilers, watched.compiled, watched.simulated = ["tpu-mlir"], "out/compile", "out/compile"
    assert {*watched.files} == {"a", "b", "c", PINNED_PATH}


def test_the_sets_of_pictures_are_those_of_the_data():
    assert list(PICTURE_SETS) == [field.name for field in fields(DataConfig) if field.name != "name"]
