"""Whether what compare says of strangers' networks is true: `python -m benchmarks.strangers`.

Each network has a measure of its own task (boxes that stay, characters that are read, speech that is enhanced), taken
on samples that neither calibrate nor are compared. Two bounds of the measure were fixed beforehand: good, and dead.

integers  layers that multiply by weights in integers, of how many
verdict   what compare says: good, look, broken or unjudged
truth     what the task measure says: good, degraded or dead, then what its spread reaches too; float: nothing was
          quantized, the measure says nothing
spread    95 % interval of the measure over the samples that were drawn (delete-one jackknife); not of streams
agree     1 for good and good, look and degraded, broken and dead, by the nearest truth that the spread reaches; 0.5
          where they are a step apart; 0 where they are two apart: "good" of a dead network, "broken" of a good one. A
          network that is unjudged is not counted. Of one of which nothing was quantized "unjudged" is 1, "good" 0,
          all else 0.5
cure      the first override that compare prints. Only where the truth is not good; the JSON file has the second too.
          Of a cure that is applied by hand:
promised  compare's own measure before and with it, as it is printed
held      the same measure once it is applied
kept      whether that is the promised effect, a tenth of it more or less
got       the task measure then
mended    yes: good now; partly: half of what was missing is there
died      the stage that refuses the network

Networks and most data come out of pinned packages. --data DIR has coco_train128 and models/yolox_nano_416.onnx: with it
photos are COCO's, and the networks that need many people, labels or YOLOX run too. --dir DIR takes networks whose files
lie in a folder in place of those of packages.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import results_table
from benchmarks.strangers.networks import NETWORKS, in_folder
from benchmarks.strangers.project import prepare
from benchmarks.strangers.rows import COLUMNS, died_row, measured_row
from benchmarks.strangers.stranger import Material, Stranger
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.command import guarded

LEFT = (
    "network",
    "kind",
    "setting",
    "verdict",
    "truth",
    "measure",
    "cure",
    "promised",
    "kept",
    "mended",
    "findings",
    "died",
)
DEFAULT_SETTINGS = "t40/int8"


def main() -> None:
    parser = benchmark_parser("benchmarks.strangers", __doc__, data=False)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of pictures and networks")
    parser.add_argument("--nets", metavar="NAME,...", help="these networks only")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="networks whose files lie here")
    parser.add_argument("--settings", default=DEFAULT_SETTINGS, metavar="SOC/QUANT,...", help="t40/int8 unless said")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave each network's project here")
    parser.add_argument("--cures", type=int, default=2, metavar="N", help="apply so many of compare's overrides (2)")
    arguments = parser.parse_args()
    folders = {name: resolved(getattr(arguments, name)) for name in ("data", "dir", "json", "keep")}
    names = arguments.nets.split(",") if arguments.nets else None

    def run() -> int:
        settings = [_setting(text) for text in arguments.settings.split(",")]
        networks = in_folder(folders["dir"]) if folders["dir"] else NETWORKS
        measure(select(networks, names, folders["data"]), settings, folders, arguments.cures)
        return 0

    sys.exit(guarded(run, arguments.debug))


def _setting(text: str) -> list[str]:
    """The overrides of SOC/QUANT.

    Raises:
        UserError: if it is not of that form.
    """
    soc, _, quant = text.partition("/")
    if not soc or not quant:
        raise UserError(f"--settings {text}: write SOC/QUANT, as in {DEFAULT_SETTINGS}")
    return [f"soc={soc}", f"quant={quant}"]


def select(networks: Sequence[Stranger], names: Sequence[str] | None, data: Path | None) -> list[Stranger]:
    """Networks by name, or all; without `--data` those that need it are left out, which is said.

    Raises:
        UserError: for a name that none of them has, or a network that needs `--data`.
    """
    known = [network.name for network in networks]
    for name in names or []:
        if name not in known:
            raise UserError(f"--nets: no such network {name!r}; {did_you_mean(name, known)}")
    chosen = [network for network in networks if names is None or network.name in names]
    lacking = [network.name for network in chosen if network.needs_data and data is None]
    if lacking and names is not None:
        raise UserError(f"--nets: {', '.join(lacking)} need --data DIR")
    if lacking:
        console.print(f"left out without --data: {', '.join(lacking)}")
    return [network for network in chosen if network.name not in lacking]


def measure(
    networks: Sequence[Stranger],
    settings: Sequence[Sequence[str]],
    folders: dict[str, Path | None],
    most_cures: int,
) -> None:
    """Measure each network in each setting, print the table and write the rows as they come.

    Args:
        networks: to measure.
        settings: overrides of SOC and quantization.
        folders: `data`, `json` and `keep` of the command line.
        most_cures: how many cures are applied to a network.
    """
    rows: list[dict[str, Any]] = []
    for network in networks:
        console.print(network.name)
        with _project(network, folders["keep"]):
            for row in network_rows(network, settings, Material(folders["data"], network.source), most_cures):
                rows.append(row)
                if folders["json"]:
                    write_json(folders["json"], rows)
    output.print(results_table("strangers", rows, COLUMNS, left=LEFT))
    judged = [row["agree"] for row in rows if row["agree"] is not None]
    if judged:
        output.print(f"verdict and task agree: {sum(judged):g} of {len(judged)}")
    promises = [cure["kept"] for row in rows for cure in row.get("cures", ()) if cure["kept"]]
    if promises:
        output.print(f"cures that keep their promise by hand: {promises.count('yes')} of {len(promises)}")
    for row in rows:
        if row["agree"] == 0:
            output.print(
                f"wrong: {row['network']} ({row['setting']}) is {row['truth']}, and compare says {row['verdict']}"
            )


@contextlib.contextmanager
def _project(network: Stranger, keep: Path | None) -> Iterator[None]:
    """Work in a network's folder: below `keep`, or a temporary one."""
    with contextlib.ExitStack() as stack:
        folder = keep / network.name if keep else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(contextlib.chdir(folder))
        yield


def network_rows(
    network: Stranger, settings: Sequence[Sequence[str]], material: Material, most_cures: int
) -> Iterator[dict[str, Any]]:
    """The rows of a network, a setting each; its project is the current folder."""
    try:
        samples = network.samples(material)
        prepare(Path.cwd(), samples)
        source = network.plant(material, Path.cwd()) if network.plant else network.source
    except (UserError, RuntimeError) as error:
        yield from (died_row(network, setting, "samples", one_line(error)) for setting in settings)
        return
    for setting in settings:
        yield measured_row(network, source, samples, setting, most_cures)


if __name__ == "__main__":
    main()
