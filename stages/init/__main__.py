"""Starts an experiment from a network, or from a vendor's config that you have.

Of a network (any format that export reads) and a folder of samples it finds task, head and input layout, guesses colour
order, mean and normal, splits the samples, finds their labels, and writes conf/model/NAME.yaml, conf/data/NAME.yaml and
params.yaml. Each guess stands there with its evidence and how sure it is.

Of a vendor's config it writes conf/model/NAME.yaml and prints the line that composes the experiment. It reads Ingenic's
flat cfg, the ptq json, the training kit's json, shell scripts that call magik-transform-tools with any of them, MNN's
json and RKNN's yaml. What it cannot take it says.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.core.base.artifacts import write_text
from stages.core.base.console import next_step, output
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.sources import expanded
from stages.core.command import Parser, collect_seldom, guarded
from stages.core.data.model_files import IncompleteSourceError, is_network_name
from stages.init.given_network import given_network, whole_source
from stages.init.model_name import check_free, free_name, model_name
from stages.init.network_init import Wanted, init_from_network
from stages.init.vendor.vendor_init import init_from_vendor
from stages.init.write.template import data_template, model_template

PIPELINE = Path("dvc.yaml")
TEMPLATE_NAME = "my"
OVERRIDE = re.compile(r"(model|data|quant|soc|compare)\.[\w.]+=")
"""How a word begins that sets a key, and is no file."""
EPILOG = """\
examples:
  python -m stages.init my.onnx pictures/ --soc t41                    then: dvc repro
  python -m stages.init my.onnx pictures/ --soc t41 --yes              to the report
  python -m stages.init package:NAME==VERSION/net.onnx#sha256=... pictures/
  python -m stages.init mine/net.py:Net pictures/                      a module of PyTorch's, weights and all
  python -m stages.init asr.onnx sounds/ --shape audio=1,16000         a size that the graph leaves open
  python -m stages.init vad.jit sounds/ model.torch.submodule=_model   what reading the file needs
  python -m stages.init --template --name my                           every key, commented
  python -m stages.init yolov5s/run_t40.sh                             a script, and the cfg or json that it names
  python -m stages.init magik_t40.cfg --model yolov5s.onnx             a cfg: it does not name its network
  python -m stages.init run.sh ptq.json --name person --force          as another name, over what is there
  python -m stages.init run_t40.sh --compose && dvc repro              params.yaml too

Exit code: 0, 2 for a file or value that cannot be taken; with --yes that of dvc repro.
"""


def main() -> None:
    """Run the command; exits."""
    parser = Parser("stages.init", __doc__, EPILOG)
    parser.add_argument(
        "given", nargs="*", metavar="FILE", help="a network and a folder of samples, or a vendor's config and scripts"
    )
    parser.add_argument("--from", dest="files", nargs="+", default=[], metavar="FILE", help="a vendor's config")
    parser.add_argument("--soc", help="the SOC, a file of conf/soc (default: conf/config.yaml's)")
    parser.add_argument("--quant", help="bits and methods, a file of conf/quant (default: conf/config.yaml's)")
    parser.add_argument("--name", help="of the model (default: the network's file name)")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=N,C,H,W",
        help="the shape of an input whose graph leaves it open, or of a tensor to cut the graph at; may be repeated",
    )
    parser.add_argument("--yes", action="store_true", help="run the experiment too: dvc repro")
    parser.add_argument("--template", action="store_true", help="write empty config files with every key commented")
    parser.add_argument("--model", type=Path, metavar="FILE", help="of a vendor's config: the network (.onnx)")
    parser.add_argument("--compose", action="store_true", help="of a vendor's config: write params.yaml too")
    parser.add_argument("--force", action="store_true", help="replace conf/model/NAME.yaml and conf/data/NAME.yaml")
    parser.add_argument("--conf", type=Path, default=Path("conf"), help="the config folder (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_intermixed_args()  # pictures may come after --soc
    collect_seldom()
    sys.exit(guarded(lambda: init(arguments), arguments.debug))


def init(arguments: argparse.Namespace) -> int:
    if arguments.template:
        _write_template(arguments)
        return 0
    words = [*arguments.given, *arguments.files]
    overrides = [word for word in words if OVERRIDE.match(word)]
    given = [expanded(word) for word in words if word not in overrides]
    if not given:
        raise UserError("nothing is given: python -m stages.init NETWORK PICTURES, or --template for an empty config")
    if len(given) > 1 and Path(given[0]).is_dir() and Path(given[1]).is_file() and is_network_name(given[1]):
        raise UserError(f"the network comes first: python -m stages.init {given[1]} {given[0]}")
    network = given_network(given[0]) if not arguments.files or is_network_name(given[0]) else None
    if network is not None and arguments.files:
        raise UserError(
            f"--from {given[0]}: is a network, no config of a vendor's: python -m stages.init {given[0]} PICTURES"
        )
    if network is None:
        init_from_vendor(arguments, [Path(text) for text in given])
        return 0
    _check_network_arguments(arguments, given)
    name = stem = model_name(arguments.name, network.stem)
    if arguments.name is None and not arguments.force and (name := free_name(stem, arguments.conf)) != stem:
        output.print(f"conf/model has a {stem} already, which is another model: yours is named {name}")
    soc = _checked_file("soc", arguments.soc, arguments.conf)
    quant = _checked_file("quant", arguments.quant, arguments.conf)
    samples = Path(given[1]) if len(given) > 1 else None
    shapes = dict(map(_shape, arguments.shape))
    overrides = [*network.overrides, *overrides]
    wanted = Wanted(network.source, name, samples, soc, quant, shapes, arguments.conf, arguments.force, overrides)
    try:
        composed = init_from_network(wanted)
    except IncompleteSourceError as error:  # weights beside an ONNX file
        composed = init_from_network(replace(wanted, source=whole_source(error)))
    if arguments.yes and composed:
        return subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode
    return 0


def _check_network_arguments(arguments: argparse.Namespace, given: Sequence[str]) -> None:
    if len(given) > 1 and is_network_name(given[1]) and Path(given[1]).is_file():
        raise UserError(f"{given[1]}: a second network; of one in several files give any, the others are taken with it")
    if len(given) > 1 and Path(given[1]).is_file():
        raise UserError(f"{given[1]}: is a file; give a folder of pictures")
    if len(given) > 2:
        raise UserError(f"{given[2]}: a network takes one folder of samples; put them all into {given[1]}")
    if arguments.model:
        raise UserError(f"--model {arguments.model}: is for a vendor's config; {given[0]} is the network already")
    if arguments.yes and len(given) == 1:
        raise UserError("--yes needs samples: python -m stages.init NETWORK PICTURES --yes")
    if arguments.yes and not PIPELINE.is_file():
        raise UserError(
            f"--yes runs dvc repro, and {Path.cwd()} has no {PIPELINE}: start from the project's own folder"
        )


def _checked_file(group: str, given: str | None, conf: Path) -> str | None:
    """A file of a group of conf/, by its name in any case."""
    if given is None or (conf / group / f"{given.lower()}.yaml").is_file():
        return given.lower() if given else None
    known = sorted(path.stem for path in (conf / group).glob("*.yaml"))
    raise UserError(f"--{group} {given}: {conf}/{group} has no such file; {did_you_mean(given.lower(), known)}")


def _shape(text: str) -> tuple[str, list[int]]:
    """Read NAME=N,C,H,W."""
    name, _, sizes = text.rpartition("=")
    if not name or not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", sizes.strip("[]")):
        raise UserError(f"--shape {text}: give NAME=N,C,H,W with positive sizes, as in images=1,3,224,224")
    return name, [int(size) for size in sizes.strip("[]").split(",")]


def _write_template(arguments: argparse.Namespace) -> None:
    name = model_name(arguments.name, TEMPLATE_NAME)
    texts = {
        arguments.conf / "model" / f"{name}.yaml": model_template(name),
        arguments.conf / "data" / f"{name}.yaml": data_template(name),
    }
    for path in texts:
        check_free(path, arguments.force)
    for path, text in texts.items():
        write_text(path, text)
    output.print(f"written: {', '.join(map(str, texts))}: fill in what stands as ???, uncomment what you change")
    next_step(f"python -m stages.compose model={name} data={name} soc=t41")


if __name__ == "__main__":
    main()
