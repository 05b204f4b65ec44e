import pytest

from tests.build.runtime.programs import Runtime, compiled


@pytest.fixture(scope="session")
def debug(tmp_path_factory) -> Runtime:
    """The runtime for this machine that dumps every layer, with sanitizers: what they find ends the program."""
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    folder = tmp_path_factory.mktemp("sanitized")
    return Runtime(compiled(folder, "debug", f"CXXFLAGS={flags}"))


@pytest.fixture(scope="session")
def native(tmp_path_factory):
    """Programs as they are shipped, optimized for this machine; each is compiled when it is first asked for."""
    folder, built = tmp_path_factory.mktemp("native"), {}

    def runtime(build_type: str) -> Runtime:
        if build_type not in built:
            built[build_type] = Runtime(compiled(folder, build_type))
        return built[build_type]

    return runtime
