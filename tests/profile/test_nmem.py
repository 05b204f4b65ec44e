import pytest

from stages.core.base.errors import UserError
from stages.profile.nmem import NmemReport, parse_nmem, read_nmem

REPORT = """\
nmem total = 15480K
nmem used peak  = 15157K
nmem current used  = 10652K
nmem free  = 4828K
#### peak %97.91 ####
"""


def test_the_vendors_report():
    assert parse_nmem(REPORT, "nmem") == NmemReport(total=15480, peak=15157, used=10652, free=4828)


@pytest.mark.parametrize(
    "behind",
    [
        "97.91 ####\n",  # the end of a longer last line
        "nmem used peak  = 99999K\nnmem free  = 1K\n#### peak %12.34 ####\n",
        "\0\0\0\xff",
    ],
)
def test_what_an_older_longer_report_left_behind_is_passed_over(behind):
    assert parse_nmem(REPORT + behind, "nmem").peak == 15157


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            r"^nmem is no nmem report: expected a line `nmem total = \.\.\.K`\. A board program built with",
        ),
        (REPORT.replace("used peak", "peak"), r"expected a line `nmem used peak = \.\.\.K`"),
        (REPORT.replace("15157K", "manyK"), r"expected a line `nmem used peak = \.\.\.K`"),
        (REPORT.replace("15157", "20000"), r"^nmem: 10652K used of a peak of 20000K of 15480K contradict each other"),
    ],
)
def test_what_is_no_report_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        parse_nmem(text, "nmem")


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt is missing$"):
        read_nmem(tmp_path / "none.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_nmem(tmp_path)
