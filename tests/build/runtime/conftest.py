import pytest

from tests.build.runtime.programs import Runtime, compiled


@pytest.fixture(scope="session")
def debug(tmp_path_factory) -> Runtime:
    """The runtime for this machine that dumps every layer, with sanitizers: what they find ends the program."""
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    folder = tmp_path_factory.mktemp("sanitized")
    return Runtime(compiled(folder, "debug", f"CXXFLAGS={flags}"))


@pytest.fixture(scope="session")
def fast(tmp_path_factory) -> Runtime:
    """The same as it is shipped: optimized for this machine."""
    return Runtime(compiled(tmp_path_factory.mktemp("native"), "debug"))
