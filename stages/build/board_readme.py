"""The README of `out/build/<soc>/`: which folder is what, where it goes, how it is built, and what the outputs are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.build.board_outputs import BoardOutput
from stages.build.cross_compilers import cross_compilers
from stages.build.kept_results import kept_folder
from stages.build.tpu_mlir.steps import model_suffix
from stages.core.base.paths import COMPILE
from stages.core.config.schema import OpenRuntime, SocConfig, Vendor
from stages.core.data.inputs import NetworkInput, only_picture

__all__ = ["README", "no_program", "readme"]

README = "README.md"
PLUTO = OpenRuntime.pluto.value
CODES = """
A value is (code - zero point) * scale. To get an output of codes in float, type
`python -m stages.compose --keep 'quant.skip_nodes=[NODE]'` with the node that computes it; the report's table names it.
"""


@dataclass(frozen=True)
class Part:
    """A row of the table.

    Attributes:
        name: file or folder below `out/build/<soc>/`.
        purpose: what it is for.
        place: where it is copied to.
        command: what builds it there.
    """

    name: str
    purpose: str
    place: str
    command: str


def no_program(inputs: Sequence[NetworkInput], soc: SocConfig) -> str:
    """Why there is no board program, and what to take; empty for a network whose one input is a picture."""
    if only_picture(inputs):
        return ""
    listed = ", ".join(f"{network_input.name} ({network_input})" for network_input in inputs)
    file = "the .bin of magik/" if soc.vendor is Vendor.ingenic else "out/compile/'s compiled network"
    return (
        f"it feeds one picture, and the network's inputs are {listed}: take {file} and call the vendor's runtime in "
        "a program of your own"
    )


def readme(folder: Path, soc: SocConfig, absent: Mapping[str, str], outputs: Sequence[BoardOutput]) -> str:
    """What the board's folder says of itself.

    Args:
        folder: with all that was written.
        soc: the SOC.
        absent: part -> why it was not written.
        outputs: the network's.
    """
    name = folder.name
    rows = "\n".join(_row(part, folder, absent) for part in _parts(soc) if part.name in absent or _there(part, folder))
    return f"""\
# out/build/{name}

| part | what it is for | copy it to | there |
|---|---|---|---|
{rows}

`dvc repro` replaces this folder: whatever you change or make in it is gone then.

- The scripts and Makefiles here write their results to `{kept_folder(name)}/` in the project's folder, which DVC leaves
  alone.
- To change sources, copy their folder first, there or anywhere else. A copy keeps its results to itself:

```sh
mkdir -p {kept_folder(name).parent} && cp -r out/build/{name} {kept_folder(name).parent}
```

## Outputs

| output | shape | on the board |
|---|---|---|
{"".join(map(_output_row, outputs))}{CODES if any(output.qparams for output in outputs) else ""}"""


def _output_row(output: BoardOutput) -> str:
    """What the board returns for an output."""
    sizes, params = " x ".join(map(str, output.shape)), output.qparams
    if params is None:
        return f"| `{output.name}` | {sizes} | float32 |\n"
    step = "a scale a channel" if params.channel_scales else f"scale {params.scale:.4g}"
    return f"| `{output.name}` | {sizes} | {params.bits}-bit codes, {step}, zero point {params.zero_point} |\n"


def _there(part: Part, folder: Path) -> bool:
    return (folder / part.name).exists()


def _row(part: Part, folder: Path, absent: Mapping[str, str]) -> str:
    why = absent.get(part.name)
    if part.name == PLUTO and not (folder / PLUTO / "run.sh").exists():
        why = "refused: `pluto/check.json` says by which node"
    name = f"{part.name}/" if "." not in part.name else part.name
    return f"| `{name}` | {part.purpose} | " + (f"- | absent: {why} |" if why else f"{part.place} | `{part.command}` |")


def _parts(soc: SocConfig) -> list[Part]:
    """All parts that a SOC's folder may have."""
    cross, toolkit, tree = cross_compilers(soc)[0], "a machine with Ingenic's toolkit", soc.runtime.tree
    runtime = Part(
        "runtime",
        "the same integers on the processor alone, to check the board layer by layer (its README.md: other compilers)",
        "any machine",
        f"make CROSS_COMPILE={cross}",
    )
    if soc.vendor is Vendor.ingenic:
        return [
            Part("magik", "makes the .bin for the NPU", toolkit, "MAGIK_TRANSFORMKIT=.../TransformKit sh run.sh"),
            Part(
                "venus", "runs the .bin on the board", f"{toolkit}; the program to the board", f"make TOPDIR=.../{tree}"
            ),
            Part(PLUTO, "the network for the open T41 runtime", "a machine with t41-pluto", "sh run.sh"),
            runtime,
        ]
    make = f"make SDK=/opt/sophon/{tree}-current CROSS_COMPILE={cross}"
    return [
        Part(
            "run.sh",
            f"makes the {model_suffix(soc.name)} for the TPU; `python -m stages.compile` does so too, in `{COMPILE}/`",
            "a machine with TPU-MLIR, with all beside it",
            "sh run.sh",
        ),
        Part(
            "sophon",
            f"runs the {model_suffix(soc.name)} on the board",
            "a machine with the board's SDK; then the board",
            make,
        ),
        Part("nntc", "the same for TPU-NNTC, the older tool", "a machine with TPU-NNTC", "sh quantize.sh"),
        runtime,
    ]
