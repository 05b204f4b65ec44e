import pytest

from benchmarks.first_run.__main__ import check_new, select
from stages.core.base.errors import UserError


def test_a_project_of_an_earlier_run_is_refused(tmp_path):
    check_new([tmp_path / "00_nudenet"])
    (tmp_path / "01_yunet").mkdir()
    with pytest.raises(UserError, match=r"^--keep .*: 01_yunet is there from an earlier run: remove it, or name a new"):
        check_new([tmp_path / "00_nudenet", tmp_path / "01_yunet"])


def test_an_unknown_network_is_refused():
    with pytest.raises(UserError, match=r"^--nets: no such network 'yunt'; did you mean 'yunet'"):
        select(["yunt"])
