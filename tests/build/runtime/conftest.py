import os

import pytest
from filelock import FileLock

from tests.build.runtime.programs import Runtime, compiled
from tests.conftest import quick


@pytest.fixture(scope="session")
def programs_folder(tmp_path_factory):
    """Where programs are compiled: one folder for all test processes."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "runtime"


def compiled_once(folder, build_type, *variables):
    """Compile a program, or wait for the test process that does."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{build_type}.lock"):
        return Runtime(compiled(folder, build_type, *variables))


@pytest.fixture(scope="session")
def debug(programs_folder, pytestconfig) -> Runtime:
    """The runtime for this machine that dumps every layer, with sanitizers: what they find ends the program.

    In a quick run it is not optimized, which takes half as long to compile.
    """
    level = "-O0" if quick(pytestconfig) else "-O1"
    flags = f"{level} -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    return compiled_once(programs_folder / "sanitized", "debug", f"CXXFLAGS={flags}")


@pytest.fixture(scope="session")
def native(programs_folder, pytestconfig):
    """Programs for this machine; each is compiled when it is first asked for.

    The one that dumps layers is optimized as it is shipped, in a quick run less; the others are for what they report.
    """

    def runtime(build_type: str) -> Runtime:
        shipped = build_type == "debug" and not quick(pytestconfig)
        variables = [] if shipped else ["CXXFLAGS=-O1" if build_type == "debug" else "CXXFLAGS=-O0"]
        return compiled_once(programs_folder / "native", build_type, *variables)

    return runtime
