"""Sets of samples behind a source: which files make up each sample, and reading them one by one.

Of a network with one input every file is a sample: a picture, `.npy`, `.bin` or `.npz`. Of one with several inputs
every folder is, as the vendor's converter wants it, with a file for each input whose name is the input's or begins
with it; or an `.npz` with an entry for each.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import counted, warn
from stages.core.base.errors import UserError
from stages.core.base.file_names import file_names
from stages.core.base.sources import SourceFile, expanded, open_source
from stages.core.config.schema import Color, PictureSet, PreprocessConfig
from stages.core.data.arrays import ARRAY_SUFFIXES, read_array
from stages.core.data.inputs import NetworkInput, Sample
from stages.core.data.lmdb_records import is_database, records
from stages.core.data.preprocess import PICTURE_SUFFIXES, Placement, read_picture
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = [
    "SAMPLE_SUFFIXES",
    "ReadSample",
    "SampleFiles",
    "folder_sample",
    "in_part",
    "is_sample",
    "position_of",
    "read_samples",
    "select",
]

SAMPLE_SUFFIXES = ARRAY_SUFFIXES | PICTURE_SUFFIXES
POSITION_BYTES = 4
"""Of a name's digest: so many give its position in 0..1."""


@dataclass(frozen=True)
class SampleFiles:
    """The files of a sample.

    Attributes:
        name: of its file or folder inside the source.
        files: input -> its file; an `.npz` is the file of every input.
        strays: names of files beside them that belong to no input.
        preprocessed: whether arrays hold the network's input as it is.
    """

    name: str
    files: Mapping[str, SourceFile]
    strays: Sequence[str] = ()
    preprocessed: bool = False


@dataclass(frozen=True)
class ReadSample:
    """A sample, ready for the network.

    Attributes:
        name: of its file or folder inside the source.
        sample: the values of each input, before mean and normal.
        pictures: of its pictures the parts without letterbox borders, uint8 [H, W, C].
        placement: of its first picture; None without pictures.
    """

    name: str
    sample: Sample
    pictures: Sequence[NDArray[np.uint8]]
    placement: Placement | None = None


def is_sample(name: str) -> bool:
    """Whether a file's name ends as a picture's or an array's."""
    return _suffix(name) in SAMPLE_SUFFIXES


def select(pictures: PictureSet, inputs: Sequence[NetworkInput], key: str) -> list[SampleFiles]:
    """List the samples of a set: of its part of the source `size` samples, evenly over the sorted names.

    Args:
        pictures: source, part and size.
        inputs: the network's.
        key: the config key of the set, for messages.

    Raises:
        UserError: if the source cannot be opened or holds no samples, none of this part, or one without a file for
            each input.
    """
    sources = [pictures.source] if isinstance(pictures.source, str) else pictures.source
    files = [file for source in sources for file in _opened(source, key)]
    samples = _file_samples(files, inputs[0]) if len(inputs) == 1 else _folder_samples(files, inputs, key)
    if not samples:
        raise UserError(f"{key}.source={sources[0]}: {_no_samples(len(files), inputs)}")
    total = len(samples)
    samples = sorted((one for one in samples if in_part(one.name, pictures.part)), key=lambda sample: sample.name)
    if not samples:
        raise UserError(f"{key}.part={pictures.part}: none of the {total} samples of {sources[0]} is in it: widen it")
    count = min(pictures.size or len(samples), len(samples))
    chosen = [samples[index * len(samples) // count] for index in range(count)]
    return [replace(sample, preprocessed=pictures.preprocessed) for sample in chosen]


def _opened(source: str, key: str) -> list[SourceFile]:
    """The files of a source, or the records of a database."""
    folder = Path(expanded(source.removeprefix("file:")))
    return records(folder) if source.startswith("file:") and is_database(folder) else open_source(source, key)


def position_of(name: str) -> float:
    """Where a sample's name stands in 0..1 (1 excluded): by its hash, so that it says nothing of the sample."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:POSITION_BYTES], "big")
    return number / float(256**POSITION_BYTES)


def in_part(name: str, part: Sequence[float] | None) -> bool:
    """Whether a sample belongs to a part of its source.

    Args:
        name: of the sample inside the source.
        part: `part` of a set: low and high; None: all.
    """
    return part is None or part[0] <= position_of(name) < part[1]


def folder_sample(sample: str, files: Sequence[SourceFile], inputs: Sequence[NetworkInput], key: str) -> SampleFiles:
    """Find each input's file among those of a sample's folder.

    A file whose name is an input's, any character but letters, digits, `.`, `_` and `-` replaced by `_`, is the
    input's; without one the file whose name begins so, as in the vendor's samples.

    Raises:
        UserError: for an input without a file or with two, or a file that may be two inputs'.
    """
    names = [network_input.name for network_input in inputs]
    stems = dict(zip(names, (_stem(file) for file in file_names(names)), strict=True))
    suffixes = dict(zip(names, map(_suffixes, inputs), strict=True))
    candidates: dict[str, list[SourceFile]] = {
        name: [file for file in files if _stem(file.name) == stem and _suffix(file.name) in suffixes[name]]
        for name, stem in stems.items()
    }
    unmatched = [name for name in names if not candidates[name]]
    for file in files:
        stem, suffix = _stem(file.name), _suffix(file.name)
        begun = [name for name in unmatched if stem.startswith(stems[name]) and suffix in suffixes[name]]
        if stem in stems.values():
            continue
        if len(begun) > 1:
            raise UserError(
                f"{key}: sample {sample}: {_name(file)} may be of input {begun[0]!r} or of {begun[1]!r}: name files "
                f"after their input alone, as {stems[begun[0]]}{suffix}"
            )
        for name in begun:
            candidates[name].append(file)
    for name, network_input in zip(names, inputs, strict=True):
        _require_one(candidates[name], network_input, stems[name], f"{key}: sample {sample}")
    chosen = {name: matching[0] for name, matching in candidates.items()}
    used = {file.name for file in chosen.values()}
    return SampleFiles(sample, chosen, [file.name for file in files if file.name not in used])


def _require_one(files: Sequence[SourceFile], network_input: NetworkInput, stem: str, where: str) -> None:
    """Refuse a sample that has no file for an input, or several."""
    if not files:
        expected = f"{stem}.bin, .npy" + (", .png, ..." if network_input.takes_picture else "")
        raise UserError(f"{where} has no file for input {network_input.name!r} ({expected})")
    if len(files) > 1:
        listed = " and ".join(_name(file) for file in files)
        raise UserError(f"{where} has several files for input {network_input.name!r}, {listed}: leave one")


def read_samples(
    chosen: Sequence[SampleFiles], inputs: Sequence[NetworkInput], config: PreprocessConfig, key: str
) -> Iterator[ReadSample]:
    """Read samples one by one; files that belong to no input are warned of once, at the end.

    Args:
        chosen: the samples' files.
        inputs: the network's.
        config: how pictures are fitted.
        key: the config key of the set, for messages.

    Raises:
        UserError: for a file that cannot be read or does not fit, or an input that is uint8 here and float32 there.
    """
    first_dtypes: dict[str, tuple[np.dtype[np.generic], str]] = {}
    for sample_files in chosen:
        sample: dict[str, NDArray[Any]] = {}
        pictures = []
        placements = []
        for network_input in inputs:
            name = network_input.name
            file = sample_files.files[name]
            fit = None if sample_files.preprocessed else config
            sample[name], picture, placement = _read_input(file, network_input, fit, key)
            if picture is not None:
                pictures.append(picture)
            if placement is not None:
                placements.append(placement)
            dtype = sample[name].dtype
            first, where = first_dtypes.setdefault(name, (dtype, file.name))
            if dtype != first:
                differing = f"{first} in {where} and {dtype} in {file.name}"
                raise UserError(f"{key}: input {name!r} is {differing}: give all alike")
        yield ReadSample(sample_files.name, sample, pictures, next(iter(placements), None))
    strays = [name for sample_files in chosen for name in sample_files.strays]
    if strays:
        shown = ", ".join(strays[:3]) + (", ..." if len(strays) > 3 else "")
        warn(f"{key}: files that belong to no input are left out: {shown}")


def _read_input(
    file: SourceFile, network_input: NetworkInput, config: PreprocessConfig | None, key: str
) -> tuple[NDArray[Any], NDArray[np.uint8] | None, Placement | None]:
    """Read one input's file; gives its values, and the part of them that shows a picture and where, if they are one.

    Without a `config` its values are preprocessed.
    """
    suffix = _suffix(file.name)
    if suffix not in ARRAY_SUFFIXES:
        if config is None:
            raise UserError(f"{key}: {file.name} is a picture, and {key}.preprocessed=true: give arrays alone")
        picture = read_picture(file, network_input, config, key)
        return picture.sample, picture.content, picture.placement
    values = read_array(file, suffix, network_input, key, preprocessed=config is None)
    is_picture = network_input.takes_picture and values.dtype == np.uint8
    if not network_input.takes_picture:
        return values, None, None
    size = network_input.height, network_input.width
    return values, values.astype(np.uint8, copy=False) if is_picture else None, Placement(size, size, 0, 0)


def _file_samples(files: Sequence[SourceFile], network_input: NetworkInput) -> list[SampleFiles]:
    """Every file that the only input can read is a sample."""
    suffixes = _suffixes(network_input)
    return [SampleFiles(file.name, {network_input.name: file}) for file in files if _suffix(file.name) in suffixes]


def _folder_samples(files: Sequence[SourceFile], inputs: Sequence[NetworkInput], key: str) -> list[SampleFiles]:
    """Every `.npz` and every folder is a sample of several inputs."""
    archives, folders = [], dict[str, list[SourceFile]]()
    for file in files:
        if _suffix(file.name) == ".npz":
            archives.append(SampleFiles(file.name, {network_input.name: file for network_input in inputs}))
        elif "/" in file.name:
            folders.setdefault(file.name.rpartition("/")[0], []).append(file)
    return archives + [folder_sample(name, inside, inputs, key) for name, inside in folders.items()]


def _no_samples(files: int, inputs: Sequence[NetworkInput]) -> str:
    """Say what a source without samples should hold."""
    if len(inputs) > 1:
        names = ", ".join(network_input.name for network_input in inputs)
        return (
            f"no samples there; the network has {len(inputs)} inputs ({names}): make a folder for each sample, "
            "with a file for each input"
        )
    (network_input,) = inputs
    others = f"; none of the {counted(files, 'file')} can be read" if files else ""
    if network_input.takes_picture:
        return f"no pictures there{others}; put .jpg, .png or .bmp files in it (or .npy, .bin)"
    hint = ""
    if len(network_input.shape) == PICTURE_RANK:
        color = network_input.color
        shape = "[1,1,H,W] for GRAY" if color is Color.GRAY else f"[1,3,H,W] for {color.value}"
        hint = f"; a picture needs {shape}, and it has {list(network_input.shape)}"
    return f"no samples there{others}; input {network_input.name!r} takes .npy, .bin or .npz files{hint}"


def _suffixes(network_input: NetworkInput) -> set[str]:
    """Suffixes of the files that an input can be read from."""
    return SAMPLE_SUFFIXES if network_input.takes_picture else ARRAY_SUFFIXES


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _name(file: SourceFile) -> str:
    return PurePosixPath(file.name).name
