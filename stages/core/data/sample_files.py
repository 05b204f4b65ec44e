"""Sets of samples behind a source: which files make up each sample, and reading them one by one.

Of a network with one input every file is a sample: a picture, `.npy`, `.bin` or `.npz`. Of one with several inputs
every folder is, as the vendor's converter wants it, with a file for each input whose name is the input's or begins
with it; or an `.npz` with an entry for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.base.file_names import file_names
from stages.core.base.sources import SourceFile, open_source
from stages.core.config.schema import Color, PictureSet, PreprocessConfig
from stages.core.data import arrays, preprocess
from stages.core.data.arrays import read_array
from stages.core.data.inputs import NetworkInput, Sample
from stages.core.data.preprocess import read_picture
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = ["ReadSample", "SampleFiles", "folder_sample", "read_samples", "select"]


@dataclass(frozen=True)
class SampleFiles:
    """What makes up a sample.

    Attributes:
        name: of its file or folder inside the source.
        files: input -> its file; an `.npz` is the file of every input.
        strays: names of files beside them that belong to no input.
    """

    name: str
    files: Mapping[str, SourceFile]
    strays: Sequence[str] = ()


@dataclass(frozen=True)
class ReadSample:
    """A sample, ready for the network.

    Attributes:
        name: of its file or folder inside the source.
        sample: what each input is fed, before mean and normal.
        pictures: of its pictures the parts without letterbox borders, uint8 [H, W, C].
    """

    name: str
    sample: Sample
    pictures: Sequence[NDArray[np.uint8]]


def select(wanted: PictureSet, inputs: Sequence[NetworkInput], key: str) -> list[SampleFiles]:
    """List the samples of a set: `size` of them, evenly over the sorted names.

    Args:
        wanted: source and size.
        inputs: the network's.
        key: the config key of the set, for messages.

    Raises:
        UserError: if the source cannot be opened or holds no samples, or one without a file for each input.
    """
    texts = [wanted.source] if isinstance(wanted.source, str) else wanted.source
    files = [file for text in texts for file in open_source(text, key)]
    found = _single(files, inputs[0]) if len(inputs) == 1 else _several(files, inputs, key)
    if not found:
        raise UserError(f"{key}.source={texts[0]}: {_nothing(len(files), inputs)}")
    count = min(wanted.size or len(found), len(found))
    found = sorted(found, key=lambda each: each.name)
    return [found[index * len(found) // count] for index in range(count)]


def folder_sample(sample: str, files: Sequence[SourceFile], inputs: Sequence[NetworkInput], key: str) -> SampleFiles:
    """Find each input's file among those of a sample's folder.

    A file whose name is an input's, any character but letters, digits, `.`, `_` and `-` replaced by `_`, is the
    input's; without one the file whose name begins so, as in the vendor's samples.

    Raises:
        UserError: for an input without a file or with two, or a file that may be two inputs'.
    """
    stems = (_stem(file) for file in file_names([entry.name for entry in inputs]))
    spelled = dict(zip([entry.name for entry in inputs], stems, strict=True))
    own: dict[str, list[SourceFile]] = {name: [] for name in spelled}
    readable = {entry.name: _readable(entry) for entry in inputs}
    for file in files:
        for name, stem in spelled.items():
            if _stem(file.name) == stem and _suffix(file.name) in readable[name]:
                own[name].append(file)
    without = [name for name in spelled if not own[name]]
    for file in files:
        begins = [n for n in without if _stem(file.name).startswith(spelled[n]) and _suffix(file.name) in readable[n]]
        if _stem(file.name) in spelled.values():
            continue
        if len(begins) > 1:
            raise UserError(
                f"{key}: sample {sample}: {_name(file)} may be of input {begins[0]!r} or of {begins[1]!r}: name files "
                f"after their input alone, as {spelled[begins[0]]}{_suffix(file.name)}"
            )
        for name in begins:
            own[name].append(file)
    for entry in inputs:
        if not own[entry.name]:
            expected = f"{spelled[entry.name]}.bin, .npy" + (", .png, ..." if entry.takes_picture else "")
            raise UserError(f"{key}: sample {sample} has no file for input {entry.name!r} ({expected})")
        if len(own[entry.name]) > 1:
            listed = " and ".join(_name(file) for file in own[entry.name])
            raise UserError(f"{key}: sample {sample} has several files for input {entry.name!r}, {listed}: leave one")
    chosen = {name: found[0] for name, found in own.items()}
    used = {file.name for file in chosen.values()}
    return SampleFiles(sample, chosen, [file.name for file in files if file.name not in used])


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
    kinds: dict[str, tuple[np.dtype[np.generic], str]] = {}
    for each in chosen:
        sample: dict[str, NDArray[np.generic]] = {}
        pictures = []
        for entry in inputs:
            file = each.files[entry.name]
            suffix = _suffix(file.name)
            if suffix in arrays.SUFFIXES:
                sample[entry.name] = values = read_array(file, suffix, entry, key)
                if entry.takes_picture and values.dtype == np.uint8:
                    pictures.append(values.astype(np.uint8, copy=False))
            else:
                picture = read_picture(file, entry, config, key)
                sample[entry.name] = picture.sample
                pictures.append(picture.content)
            kind = sample[entry.name].dtype
            first, where = kinds.setdefault(entry.name, (kind, file.name))
            if kind != first:
                raise UserError(
                    f"{key}: input {entry.name!r} is {first} in {where} and {kind} in {file.name}: give all alike"
                )
        yield ReadSample(each.name, sample, pictures)
    strays = [name for each in chosen for name in each.strays]
    if strays:
        shown = ", ".join(strays[:3]) + (", ..." if len(strays) > 3 else "")
        warn(f"{key}: files that belong to no input are left out: {shown}")


def _single(files: Sequence[SourceFile], entry: NetworkInput) -> list[SampleFiles]:
    return [SampleFiles(file.name, {entry.name: file}) for file in files if _suffix(file.name) in _readable(entry)]


def _several(files: Sequence[SourceFile], inputs: Sequence[NetworkInput], key: str) -> list[SampleFiles]:
    found, folders = [], dict[str, list[SourceFile]]()
    for file in files:
        if _suffix(file.name) == ".npz":
            found.append(SampleFiles(file.name, {entry.name: file for entry in inputs}))
        elif "/" in file.name:
            folders.setdefault(file.name.rpartition("/")[0], []).append(file)
    return found + [folder_sample(name, inside, inputs, key) for name, inside in folders.items()]


def _nothing(files: int, inputs: Sequence[NetworkInput]) -> str:
    """Say what a source without samples should hold."""
    if len(inputs) > 1:
        names = ", ".join(entry.name for entry in inputs)
        return (
            f"no samples there; the network has {len(inputs)} inputs ({names}): make a folder for each sample, "
            "with a file for each input"
        )
    others = f"; its {files} files are none that can be read" if files else ""
    if inputs[0].takes_picture:
        return f"no pictures there{others}; put .jpg, .png or .bmp files in it (or .npy, .bin)"
    (only,) = inputs
    hint = ""
    if len(only.shape) == PICTURE_RANK:
        wanted = "[1,1,H,W] for GRAY" if only.color is Color.GRAY else f"[1,3,H,W] for {only.color.value}"
        hint = f"; a picture needs {wanted}, and it has {list(only.shape)}"
    return f"no samples there{others}; input {only.name!r} takes .npy, .bin or .npz files{hint}"


def _readable(entry: NetworkInput) -> set[str]:
    return arrays.SUFFIXES | preprocess.SUFFIXES if entry.takes_picture else arrays.SUFFIXES


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _name(file: SourceFile) -> str:
    return PurePosixPath(file.name).name
