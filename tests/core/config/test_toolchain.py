import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import PINNED_PATH
from stages.core.config.composition import compose
from stages.core.config.schema import ToolchainConfig
from stages.core.config.toolchain import find_tool, watched_tool
from tests.conftest import REPOSITORY

CONF = REPOSITORY / "conf"


@pytest.fixture
def kit(tmp_path, monkeypatch):
    (tmp_path / "kit").mkdir()
    tool = tmp_path / "kit" / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tool


@pytest.mark.parametrize(
    ("path", "watched"),
    [(None, PINNED_PATH), ("", PINNED_PATH), ("kit", "kit/tool"), ("kit/tool", "kit/tool"), ("absent", "absent")],
)
def test_dvc_watches_the_executable(kit, path, watched):
    assert watched_tool(path, "tool") == watched


@pytest.mark.parametrize("path", ["kit", "kit/tool"])
def test_the_executable_is_found_by_folder_or_file(kit, path):
    assert find_tool(ToolchainConfig("tool", path)) == kit.resolve()


@pytest.mark.parametrize("path", ["~/kit", "~/kit/tool"])
def test_the_executable_is_found_below_the_users_folder(kit, monkeypatch, path):
    monkeypatch.setenv("HOME", str(kit.parents[1]))
    assert watched_tool(path, "tool") == str(kit)
    assert find_tool(ToolchainConfig("tool", path)) == kit.resolve()


@pytest.mark.parametrize("path", [None, ""])
def test_without_a_path_there_is_none(path):
    assert find_tool(ToolchainConfig("tool", path)) is None


@pytest.mark.parametrize("path", ["absent", "."])
def test_a_path_without_it_is_refused(kit, path):
    with pytest.raises(
        UserError, match=rf"soc\.toolchain\.path={path}: there is no .*; give tool itself or the folder"
    ):
        find_tool(ToolchainConfig("tool", path))


def test_composition_fills_in_what_is_watched(kit):
    tool = kit.rename(kit.with_name("magik-transform-tools"))
    config, _ = compose([f"soc.toolchain.path={tool.parent}"], CONF)
    assert config.watch.toolchain == str(tool)
    assert compose([], CONF)[0].watch.toolchain == PINNED_PATH


def test_of_sophgo_the_folder_of_the_tools_is_given(kit):
    tool = kit.rename(kit.with_name("model_deploy.py"))
    config, _ = compose(["soc=bm1684x", "soc.toolchain.path=kit"], CONF)
    assert config.watch.toolchain == "kit/model_deploy.py"
    assert find_tool(config.soc.toolchain) == tool.resolve()
