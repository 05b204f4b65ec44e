"""From a vendor's config to conf/model/NAME.yaml and the line that composes the experiment."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from stages.compose import run as compose_into
from stages.core.base.artifacts import write_text
from stages.core.base.console import output, warn
from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.composition import compose
from stages.core.config.first_line import COMPOSED_WITH
from stages.init.model_name import check_free, model_name
from stages.init.vendor.config_reader import VendorConfig, read_vendor_config
from stages.init.vendor.experiment_writer import MISSING_NETWORK, MISSING_PICTURES, experiment_overrides, model_yaml
from stages.init.vendor.vendor_experiment import VendorExperiment, interpret

__all__ = ["init_from_vendor"]


def init_from_vendor(arguments: argparse.Namespace, files: Sequence[Path]) -> None:
    """Read a vendor's config back; write the model's file and print the line that composes the experiment.

    Args:
        arguments: of the command.
        files: what to read.

    Raises:
        UserError: for a file or value that cannot be taken.
    """
    conf = arguments.conf
    if arguments.model:
        _check_network(arguments.model)
    config = read_vendor_config(files)
    experiment = interpret(config.settings, config.find, config.notes)
    experiment.network = arguments.model or experiment.network
    _check_soc(experiment, config, conf)
    name = model_name(arguments.name, (experiment.network or files[0]).stem)
    path = conf / "model" / f"{name}.yaml"
    check_free(path, arguments.force)
    text = model_yaml(experiment, name, [file.name for file in config.files])
    overrides = experiment_overrides(experiment, name)
    if arguments.compose:
        _refuse_gaps(overrides)
    _write_checked(path, text, overrides, conf)
    for note in [*config.notes, *_gaps(experiment)]:
        warn(note)
    output.print(f"{path} written")
    output.print("compose the experiment with:" if not arguments.compose else "composed with:")
    output.print(shlex.join([*COMPOSED_WITH.removeprefix("# ").split(), *overrides]))
    if arguments.compose:
        compose_into(overrides, conf, Path("params.yaml"), check_only=False)


def _check_network(path: Path) -> None:
    """Refuse a network that export would; of one that the config names it is only said that it is missing.

    That path is of the machine where it was converted, and the line is there to be edited.

    Raises:
        UserError: if it is no .onnx file.
    """
    if not path.is_file():
        raise UserError(f"--model {path}: {'is a folder' if path.is_dir() else 'does not exist'}; give the .onnx file")
    if path.suffix.lower() != ".onnx":
        raise UserError(f"--model {path}: is no .onnx file; convert the network to ONNX first")


def _check_soc(experiment: VendorExperiment, config: VendorConfig, conf: Path) -> None:
    if experiment.soc and not (conf / "soc" / f"{experiment.soc.lower()}.yaml").is_file():
        known = sorted(path.stem.upper() for path in (conf / "soc").glob("*.yaml"))
        hint = did_you_mean(experiment.soc.upper(), known)
        raise UserError(f"{config.settings['SOC'].where}={experiment.soc}: conf/soc has no such SOC; {hint}")


def _write_checked(path: Path, text: str, overrides: Sequence[str], conf: Path) -> None:
    """Write the model's file; if the experiment does not compose with it, leave all as it was."""
    before = path.read_text(encoding="utf-8") if path.exists() else None
    write_text(path, text)
    try:
        compose(overrides, conf)
    except BaseException:
        if before is None:
            path.unlink()
        else:
            write_text(path, before)
        raise


def _gaps(experiment: VendorExperiment) -> list[str]:
    """What the config leaves open, and paths that are not there."""
    gaps = []
    if not experiment.soc:
        gaps.append("no SOC is named: add soc=t40 or another to the line")
    if not experiment.network:
        gaps.append("no network is named: give --model FILE, or put it in place of NETWORK.onnx")
    if not experiment.calibration:
        gaps.append("no calibration pictures are named: put their folder in place of PICTURES")
    named = {
        "the network": experiment.network,
        "the calibration set": experiment.calibration,
        "the debug set": experiment.debug,
        "the correction set": experiment.correction,
        "the validation set": experiment.validation,
    }
    gaps += [f"{what} {path} does not exist" for what, path in named.items() if path and not path.exists()]
    if experiment.calibration and experiment.debug in (None, experiment.calibration):
        gaps.append("calibration pictures serve as debug pictures too: others tell more (data.debug.source)")
    return gaps


def _refuse_gaps(overrides: Sequence[str]) -> None:
    """Refuse to compose what the config leaves open.

    Raises:
        UserError: naming it.
    """
    gaps = {MISSING_NETWORK: "no network (give --model FILE)", MISSING_PICTURES: "no calibration pictures"}
    named = [gap for text, gap in gaps.items() if any(text in line for line in overrides)]
    if named:
        raise UserError(
            f"--compose: the config names {' and '.join(named)}; without --compose the line to edit is shown"
        )
