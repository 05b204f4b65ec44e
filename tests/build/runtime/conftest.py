import pytest

from tests.build.runtime import programs
from tests.build.runtime.programs import Runtime


@pytest.fixture(scope="session")
def programs_folder(tmp_path_factory):
    """Where programs are compiled."""
    return programs.shared_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def debug(programs_folder) -> Runtime:
    """The runtime for this machine that dumps every layer, with sanitizers: what they find ends the program."""
    return programs.sanitized(programs_folder)


@pytest.fixture(scope="session")
def native(programs_folder):
    """Programs for this machine; each is compiled when it is first asked for.

    The one that dumps layers is optimized as it is shipped; the others are for what they report.
    """

    def runtime(build_type: str) -> Runtime:
        variables = [] if build_type == "debug" else ["CXXFLAGS=-O0"]
        return programs.compiled_once(programs_folder / "native", build_type, *variables)

    return runtime
