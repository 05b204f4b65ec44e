"""From a path on the command line to the files of a sample."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile, read_regular
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import SampleFiles, folder_sample

__all__ = ["INPUT_KEY", "sample_files"]

INPUT_KEY = "input"
"""What messages call the samples."""


def sample_files(path: Path, inputs: Sequence[NetworkInput]) -> SampleFiles:
    """Find the files of one sample.

    Args:
        path: a folder with a file for each input; or one file: an `.npz`, or what a network's only input is fed.
        inputs: the network's.

    Raises:
        UserError: for a path that is not there, or an input without a file.
    """
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        try:
            return folder_sample(
                str(path), [SourceFile(str(file), partial(read_regular, file)) for file in inside], inputs, INPUT_KEY
            )
        except UserError as error:
            if len(inputs) > 1:
                raise
            raise UserError(f"{error}; of a folder of pictures give these themselves, as in {path}/*") from error
    if not path.exists():
        raise UserError(f"{INPUT_KEY}: {path} does not exist")
    if len(inputs) > 1 and path.suffix.lower() != ".npz":
        names = ", ".join(each.name for each in inputs)
        raise UserError(
            f"{INPUT_KEY}: {path}: the network has {len(inputs)} inputs ({names}): give a folder with a file for each, "
            "or an .npz with an array for each"
        )
    file = SourceFile(str(path), partial(read_regular, path))
    return SampleFiles(str(path), {each.name: file for each in inputs})
