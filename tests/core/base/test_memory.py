import pytest

from stages.core.base import memory
from stages.core.base.errors import UserError


def test_what_needs_more_than_is_free_is_refused_with_both_figures(monkeypatch):
    monkeypatch.setattr(memory, "_free_bytes", lambda: 3 * 2**30)
    memory.check_available(3 * 2**30, "this")
    with pytest.raises(
        UserError, match=r"^this needs 3\.1 GiB, and 3\.0 GiB of memory are free here: .* model\.inputs$"
    ):
        memory.check_available(3 * 2**30 + 2**27, "this")


@pytest.mark.parametrize(("limit", "free"), [("max", 5000 * 1024), ("4000000", 3000000), ("99999999", 5000 * 1024)])
def test_a_container_s_limit_counts(tmp_path, monkeypatch, limit, free):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory._free_bytes() == free


def test_where_the_system_does_not_say_it_is_all_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    assert memory._free_bytes() == memory.machine_bytes()
