"""The compilers of a board's processor, as `CROSS_COMPILE` takes them.

Sources: Ingenic's samples; for Sophgo's small chips the quick start guide of TPU-MLIR, "Compile and run samples on the
EVB" (its host-tools/gcc), and Milk-V's duo-buildroot-sdk. The large chips have Arm cores of 64 bits.
"""

from stages.core.config.schema import SocConfig, Vendor

__all__ = ["compiler_choice", "cross_compilers"]

OF_VENDOR = {Vendor.ingenic: ("mips-linux-gnu-",), Vendor.sophgo: ("aarch64-linux-gnu-",)}
OF_CHIP = {
    "cv181x": ("riscv64-unknown-linux-musl-", "aarch64-linux-gnu-"),  # SG2000 and SG2002 have cores of both kinds
    "cv183x": ("aarch64-linux-gnu-", "arm-linux-gnueabihf-"),
}
"""Of the chips whose boards run systems of several kinds: the usual one first."""


def cross_compilers(soc: SocConfig) -> tuple[str, ...]:
    """Prefixes of the compilers, one a kind of system that the board may run."""
    return OF_CHIP.get(soc.name, OF_VENDOR[soc.vendor])


def compiler_choice(soc: SocConfig) -> str:
    """What a sentence adds about a second kind of system; empty where there is one."""
    others = cross_compilers(soc)[1:]
    return f"{' or '.join(others)} where the board's system is of that kind" if others else ""
