import pytest

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from tests.conftest import copy_conf, project_overrides


@pytest.fixture(scope="session")
def conf(tmp_path_factory):
    return copy_conf(tmp_path_factory.mktemp("conf"))


@pytest.fixture(scope="session")
def composed(conf):
    return compose(project_overrides(), conf)


@pytest.fixture
def refused(conf):
    def message(*overrides):
        with pytest.raises(UserError) as caught:
            compose(overrides, conf)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


@pytest.fixture
def params(tmp_path, composed):
    path = tmp_path / "params.yaml"
    path.write_text(composed[1], encoding="utf-8")
    return path
