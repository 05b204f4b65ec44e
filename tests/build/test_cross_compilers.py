import pytest

from stages.build.cross_compilers import compiler_choice, cross_compilers
from stages.core.config.schema import SocConfig, Vendor


@pytest.mark.parametrize(
    ("vendor", "name", "first"),
    [
        (Vendor.ingenic, "T41", "mips-linux-gnu-"),
        (Vendor.sophgo, "bm1684x", "aarch64-linux-gnu-"),
        (Vendor.sophgo, "cv181x", "riscv64-unknown-linux-musl-"),
        (Vendor.sophgo, "cv183x", "aarch64-linux-gnu-"),
    ],
)
def test_a_boards_compiler(vendor, name, first):
    assert cross_compilers(SocConfig(name=name, vendor=vendor))[0] == first


def test_a_board_of_two_kinds_says_so():
    assert compiler_choice(SocConfig(name="T41", vendor=Vendor.ingenic)) == ""
    choice = compiler_choice(SocConfig(name="cv181x", vendor=Vendor.sophgo))
    assert choice == "aarch64-linux-gnu- where the board's system is of that kind"
