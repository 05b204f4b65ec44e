"""The SOCs of conf/soc, with the bit widths of their operators."""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.docs.reference.text import bullet, paragraph, table
from stages.core.config.schema import SocConfig, Vendor

__all__ = ["socs_page"]

INTRODUCTION = """\
# Every SOC

`python -m benchmarks.docs.reference` writes this page from `conf/soc/` and `conf/operators/`. To choose one:

```sh
python -m stages.compose --keep soc=t41 && dvc repro
```

Each file says where its facts come from. What `soc.requantization` and the rest compute is in
[arithmetic.md](../arithmetic.md); [config.md](config.md#soc) describes the keys. A SOC of yours is a file of the same
form ([CONTRIBUTING](../../CONTRIBUTING.md#a-new-soc-model-or-data-set)).
"""
BUILD_FOLDERS = {
    Vendor.ingenic: "`magik/` for the vendor's converter, `venus/` for the board, `runtime/`",
    Vendor.sophgo: "network, ranges and calls for TPU-MLIR (`run.sh`), `runtime/`",
}


def socs_page(socs: dict[str, SocConfig]) -> str:
    """The text of the page.

    Args:
        socs: by the name that `soc=` takes.
    """
    rows = [
        (f"`{name}`", soc.vendor.value, soc.npu, soc.requantization.value, soc.feature_zero_point.value,
         soc.weight_scale.value.replace("_", " "), soc.toolchain.name)
        for name, soc in socs.items()
    ]  # fmt: skip
    heading = ("soc=", "vendor", "unit", "requantization", "features", "weights", "converter")
    parts = [INTRODUCTION, "## Arithmetic", table(heading, rows), "## What build writes"]
    parts.append("\n".join(bullet(f"{_names(names)}: {folders}.") for folders, names in _alike(socs, _folders)))
    parts.append("## Bit widths of operators")
    parts.append(paragraph("An operator that is not listed runs in float. `DepthwiseConv` and `Silu` are forms that"
                           " have names of their own."))  # fmt: skip
    for operators, names in _alike(socs, _operators):
        parts += [f"### {', '.join(names)}", operators]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _alike(socs: dict[str, SocConfig], what: Callable[[SocConfig], str]) -> list[tuple[str, list[str]]]:
    """What is said of SOCs, with the names of those that it is said of."""
    found: dict[str, list[str]] = {}
    for name, soc in socs.items():
        found.setdefault(what(soc), []).append(name)
    return list(found.items())


def _folders(soc: SocConfig) -> str:
    more = f", `{soc.open_runtime.value}/` for the open runtime" if soc.open_runtime is not None else ""
    return BUILD_FOLDERS[soc.vendor] + more


def _operators(soc: SocConfig) -> str:
    lines = []
    for group in soc.operators.values():
        features, weights = _listed(group.feature_bits), _listed(group.weight_bits)
        if not features:
            said = "in float"
        else:
            said = f"features {features} bits" + (f", weights {weights} bits" if weights else "")
        lines.append(bullet(f"{said}: {_names(group.types)}"))
    if soc.simulated.feature_bits or soc.simulated.weight_bits:
        features, weights = _listed(soc.simulated.feature_bits), _listed(soc.simulated.weight_bits)
        lines.append(bullet(f"on the PC only, of every operator: features {features} bits, weights {weights} bits"))
    return "\n".join(lines)


def _listed(bits: Iterable[int]) -> str:
    return ", ".join(map(str, bits))


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
