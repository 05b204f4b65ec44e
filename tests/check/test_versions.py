from pathlib import Path

import pytest

from stages.check.versions import Versions, check_versions, find_logs, parse_versions
from stages.core.base.errors import UserError

SAMPLE = """\
INFO(magik): venus memory map size: 0
INFO(magik): venus version:0.9.6.2.ALPHA(00000906_aa6e9e7) built:20220721-2110(
7.2.0 r5.1.3 glibc2.29 mips@NNA1)
INFO(magik): model version:0.9.6.NNA1_aa6e9e7
"""


def test_the_vendors_lines():
    assert parse_versions(SAMPLE) == Versions("0.9.6.2.ALPHA", "0.9.6.NNA1_aa6e9e7", 1, 1)
    assert parse_versions("venus version:0.9.0(00000900_8450a71) built:20220211") == Versions("0.9.0")
    assert parse_versions("nothing") == Versions()


def test_the_last_run_of_a_log_counts():
    assert parse_versions(SAMPLE.replace("0.9.6.2", "0.8.0.1") + SAMPLE).runtime == "0.9.6.2.ALPHA"


@pytest.mark.parametrize(
    ("runtime", "model"),
    [("0.9.6.2.ALPHA", "0.9.6"), ("0.9.6", "0.9.6.2"), ("0.10.0", "0.9.6"), ("1.0", "0.9.9"), ("", "2.0"), ("1.0", "")],
)
def test_as_new_or_newer_runs(runtime, model):
    check_versions(Versions(runtime, model), Path("log"))


@pytest.mark.parametrize(("runtime", "model"), [("0.9.5.9", "0.9.6"), ("0.9.6", "0.10.1"), ("0.9.6.1", "0.9.6.2")])
def test_older_is_refused(runtime, model):
    with pytest.raises(UserError, match=rf"^log: the board's runtime {runtime} is older than the model, {model}, and"):
        check_versions(Versions(runtime, model), Path("log"))


def test_another_unit_is_refused():
    with pytest.raises(
        UserError, match=r"^log: the runtime is for NNA1, the model for NNA2: convert for the board's SOC"
    ):
        check_versions(parse_versions(SAMPLE.replace("6.NNA1_", "6.NNA2_")), Path("log"))


def test_logs_are_found_by_their_version_line(tmp_path):
    (tmp_path / "console.txt").write_text(SAMPLE)
    (tmp_path / "notes.txt").write_text("remember the lens")
    (tmp_path / "model.bin").write_text(SAMPLE)
    assert find_logs(tmp_path) == [tmp_path / "console.txt"]
