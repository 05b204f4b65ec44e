"""Arrays on disk for one input of the network: `.npy`, `.npz` and `.bin`, and records of an LMDB database."""

import io
import math

import numpy as np
from numpy.typing import NDArray

from stages.core.base.checksums import ARCHIVE_ERRORS, ARRAY_ERRORS
from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import SourceFile
from stages.core.data.inputs import NetworkInput, unnormalize
from stages.core.data.lmdb_records import DATUM_SUFFIX, read_datum
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = ["ARRAY_SUFFIXES", "read_array"]

ARRAY_SUFFIXES = {".npy", ".npz", ".bin", DATUM_SUFFIX}
RAW_DTYPES = (np.dtype("u1"), np.dtype("<f4"))
"""Types that a file without a header may hold; its size tells which."""

Values = NDArray[np.uint8] | NDArray[np.float32]


ZIP_MAGIC = b"PK"
MOST_HEADER_BYTES = 2**16


def read_array(
    file: SourceFile, suffix: str, network_input: NetworkInput, key: str, preprocessed: bool = False
) -> Values:
    """Read one input's part of a sample, before mean and normal.

    Args:
        file: `.npy`; `.npz` with an entry of the input's name; `.bin`, the numbers alone, uint8 or little-endian
            float32. An input of rank 4 lies there as [H, W, C], as for the vendor's tools, with or without a 1 in
            front ([N, H, W, C] where its first size is not 1); three channels may have an unused fourth behind them, as
            a board's inputs have. Any other tensor has its own shape, with or without the 1. A record of a database
            is [C, H, W].
        suffix: which of these.
        network_input: the input.
        key: what the file belongs to, for messages.
        preprocessed: the values are the network's input as it is: float32 in its own shape, with or without the 1.

    Returns:
        uint8 or float32 in the input's `sample_shape`.

    Raises:
        UserError: if the file cannot be read, is of another size, or holds other values than numbers.
    """
    where = f"{key}: {file.name}"
    try:
        content = file.read()
        if suffix == DATUM_SUFFIX:
            values = read_datum(content)
        elif suffix == ".bin":
            values = _read_raw(content, where, network_input, preprocessed)
        else:
            values = _read_numpy(content, where, network_input)
    except (ValueError, *ARCHIVE_ERRORS, *ARRAY_ERRORS) as error:
        raise UserError(f"{where} cannot be read: {one_line(error)}") from error
    if values.dtype.kind not in "uif":
        raise UserError(f"{where} holds {values.dtype}: give uint8 or float32")
    if preprocessed:
        return _ready(values, where, network_input)
    if suffix == DATUM_SUFFIX:
        values = np.moveaxis(values, 0, -1)
    fitted = _fitted(values, where, network_input)
    if fitted.dtype != np.uint8:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            fitted = fitted.astype(np.float32)
    if not np.isfinite(fitted).all():
        raise UserError(f"{where} holds values that are infinite or not a number")
    return np.ascontiguousarray(fitted)


def _read_numpy(content: bytes, where: str, network_input: NetworkInput) -> NDArray[np.generic]:
    """The array of a `.npy` or `.npz` file."""
    name = network_input.name
    if content[:2] != ZIP_MAGIC:
        _check_header(content)
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    sizes = {entry.filename: entry.file_size for entry in loaded.zip.infolist()}
    most = MOST_HEADER_BYTES + 16 * math.prod(network_input.sample_shape) * 4 // 3  # complex128, a fourth channel
    if (size := sizes.get(f"{name}.npy", 0)) > most:
        raise UserError(f"{where}: {name!r} unpacks to {size} bytes; {_expected(network_input)}")
    if name not in loaded:
        raise UserError(f"{where} has no entry for input {name!r}; {did_you_mean(name, list(loaded))}")
    values: NDArray[np.generic] = loaded[name]
    return values


def _check_header(content: bytes) -> None:
    """Refuse a `.npy` file that says another size than it has: NumPy would make room for what it says."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    left = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != left and not dtype.hasobject:
        raise ValueError(f"its header says {list(shape)} of {dtype}, and it has {left} bytes of values")


def _ready(values: NDArray[np.generic], where: str, network_input: NetworkInput) -> NDArray[np.float32]:
    """Values that the network would take as they are, before mean and normal."""
    shape = tuple(network_input.shape)
    if values.dtype.kind != "f":
        raise UserError(f"{where} holds {values.dtype}: preprocessed values are float32")
    if values.shape not in (shape, shape[1:] if shape[:1] == (1,) else shape):
        raise UserError(
            f"{where} has shape {list(values.shape)}; preprocessed, input {network_input.name!r} takes {list(shape)}"
        )
    if not np.isfinite(values).all():
        raise UserError(f"{where} holds values that are infinite or not a number")
    return np.ascontiguousarray(unnormalize(values.reshape(shape).astype(np.float32), network_input))


def _read_raw(content: bytes, where: str, network_input: NetworkInput, preprocessed: bool) -> NDArray[np.generic]:
    """The numbers of a file without a header."""
    if preprocessed and len(content) == 4 * math.prod(network_input.shape):
        return np.frombuffer(content, "<f4").reshape(network_input.shape)
    for dtype in RAW_DTYPES:
        for shape in _shapes(network_input):
            if len(content) == dtype.itemsize * int(np.prod(shape)):
                return np.frombuffer(content, dtype).reshape(shape)
    count = int(np.prod(network_input.shape))
    raise UserError(
        f"{where} has {len(content)} bytes; {_expected(network_input)}: {count} bytes (uint8) or {4 * count} (float32)"
    )


def _fitted(values: NDArray[np.generic], where: str, network_input: NetworkInput) -> NDArray[np.generic]:
    """The values in the input's shape; refuses another one."""
    picture_shaped = len(network_input.shape) == PICTURE_RANK
    for shape in _shapes(network_input):
        unbatched = shape[1:] if not picture_shaped and shape[:1] == (1,) else shape
        if values.shape in (shape, unbatched, (1, *unbatched)):
            fitted = values.reshape(shape)
            return fitted[..., : network_input.channels] if picture_shaped else fitted
    channels_first = picture_shaped and values.shape[-3:] == tuple(network_input.shape[1:])
    hint = (
        ": save it with the channels last, np.moveaxis(array, -3, -1), or set `preprocessed` of the set if it is the "
        "network's input as it is"
    )
    raise UserError(
        f"{where} has shape {list(values.shape)}; {_expected(network_input)}{hint if channels_first else ''}"
    )


def _shapes(network_input: NetworkInput) -> list[tuple[int, ...]]:
    """The shapes that a sample may have: with a fourth channel too where there are three."""
    shape = network_input.sample_shape
    fourth = len(network_input.shape) == PICTURE_RANK and network_input.channels == 3
    return [shape, (*shape[:-1], 4)] if fourth else [shape]


def _expected(network_input: NetworkInput) -> str:
    layout = " (NHWC)" if len(network_input.shape) == PICTURE_RANK else ""
    return f"input {network_input.name!r} takes {list(network_input.sample_shape)}{layout}"
