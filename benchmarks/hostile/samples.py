"""Bad pictures, arrays and dumps."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile.case import Case
from benchmarks.hostile.damages import DAMAGES, SPECIALS, written

__all__ = ["sample_cases"]


def _npy(shape: tuple[int, ...], kind: str = "<f4", values: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + values


def _array(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def _png(width: int, height: int, depth: int = 8, kind: int = 2, rows: bytes = b"") -> bytes:
    """A PNG whose header says so much."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURE = (16, 16, 3)
SAMPLES: dict[str, tuple[str, bytes]] = {
    "a picture of 2^31 x 2^31": (".png", _png(2**31 - 1, 2**31 - 1)),
    "a picture of 60,000 x 60,000": (".png", _png(60_000, 60_000)),
    "a picture of 20,000 x 20,000, compressed": (".png", _png(20_000, 20_000, 8, 0, bytes(1 << 24))),
    "a picture of 0 x 0": (".png", _png(0, 0)),
    "a picture of 1 x 1": (".png", _png(1, 1, rows=bytes(4))),
    "a picture of 1 x 100,000": (".png", _png(1, 100_000, rows=bytes(400_000))),
    "a picture of 3 bits": (".png", _png(4, 4, 3)),
    "a picture without rows": (".png", _png(16, 16)),
    "a picture that is a text": (".png", b"no picture"),
    "a picture that is empty": (".jpg", b""),
    "a JPEG of its first bytes": (".jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
    "a JPEG of 65,535 x 65,535": (".jpg", b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(40)),
    "a bitmap of a negative size": (".bmp", b"BM" + struct.pack("<IHHIIiiHH", 99, 0, 0, 54, 40, -5, -(2**31), 1, 24)),
    "a TIFF that points to itself": (".tif", b"II*\0\x08\0\0\0\x01\0" + bytes(12) + b"\x08\0\0\0"),
    "an EXR": (".exr", b"v/1\x01" + bytes(64)),
    "an SVG": (".svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "an array of 192 TB": (".npy", _npy((2**40, 44))),
    "an array of a negative size": (".npy", _npy((-1, 4))),
    "an array of another rank": (".npy", _array(np.zeros(7, np.float32))),
    "an array of another size": (".npy", _array(np.zeros((1, 3, 9, 9), np.float32))),
    "an array of NaN": (".npy", _array(np.full(PICTURE, np.nan, np.float32))),
    "an array of infinity": (".npy", _array(np.full(PICTURE, np.inf, np.float32))),
    "an array of 1e38": (".npy", _array(np.full(PICTURE, 1e38, np.float32))),
    "an array of complex numbers": (".npy", _array(np.zeros(PICTURE, complex))),
    "an array of texts": (".npy", _array(np.full(PICTURE, "x"))),
    "an array of records": (".npy", _array(np.zeros(PICTURE, [("a", "f4")]))),
    "an array of nothing": (".npy", _array(np.zeros((0, 16, 3), np.float32))),
    "an array of integers of 64 bits": (".npy", _array(np.full(PICTURE, 2**62))),
    "a pickle": (".npy", _npy((1,), "|O", b"cos\nsystem\n(S'touch pwned'\ntR.")),
    "a header nested too deep": (".npy", b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192),
    "a header of 4 GB": (".npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
    "an archive that is a bomb": (".npz", _archive(images=_npy((2**26,), values=bytes(2**28)))),
    "an archive of others": (".npz", _archive(other=_array(np.zeros(PICTURE, np.float32)))),
    "an archive of paths": (".npz", _archive(**{"../../pwned": _array(np.zeros(1))})),
    "an archive without entries": (".npz", b"PK\x05\x06" + bytes(18)),
    "values of another count": (".bin", bytes(17)),
    "no values": (".bin", b""),
    "values of NaN": (".bin", b"\xff\xff\xff\x7f" * (3 * 16 * 16)),
}
"""Name -> ending and content of a sample's file."""


DUMP_NAMES = (
    f"input_data_shape_1_{'9' * 100}_16_4.bin",
    "input_data_shape_1_0_0_0.bin",
    "input_data_shape_7.bin",
    f"{'1' * 200}.bin",
    "<script>alert(1)</script>.bin",
    "a\nb.bin",
    "\x1b[31mred.bin",
    "\u202enib.bin",
    "_Quantize.bin",
    ".bin",
    "٣_out.bin",
)


def sample_cases() -> Iterator[Case]:
    """Each sample for `infer`, among those that calibrate, and among those to debug; dumps for `check`."""
    for name, (suffix, content) in SAMPLES.items():
        yield Case("samples", name, ("infer", f"sample{suffix}"), partial(written, f"sample{suffix}", content))
        path = f"calibration/sample{suffix}"
        yield Case("samples", name, ("calibset",), partial(written, path, content))
        path = f"evaluation/ant/sample{suffix}"
        yield Case("samples", name, ("evaluate",), partial(written, path, content))
        yield Case("samples", name, ("init", "net.onnx", "mine"), partial(written, f"mine/sample{suffix}", content))
    for name, make in SPECIALS.items():
        yield Case("samples", name, ("infer", "sample.png"), partial(make, Path("sample.png")))
        yield Case("samples", name, ("calibset",), partial(make, Path("calibration/sample.png")))
        yield Case("samples", name, ("evaluate",), partial(make, Path("evaluation/ant/sample.png")))
        yield Case("samples", name, ("init", "net.onnx", "calibration"), partial(make, Path("calibration/sample.png")))
    yield from _dump_cases()


def _dump_cases() -> Iterator[Case]:
    line = ("check", "pc", "board")
    for name, damage in DAMAGES.items():
        yield Case("dumps", f"every file: {name}", line, partial(_damaged_dumps, damage))
    for name in DUMP_NAMES:
        yield Case("dumps", f"a file's name: {name[:40]!r}", line, partial(_named_dumps, name))
    for name, make in SPECIALS.items():
        yield Case("dumps", f"a file: {name}", line, partial(_special_dump, make))
        yield Case("dumps", f"the board's folder: {name}", line, partial(make, Path("board")))
        yield Case("dumps", f"the PC's folder: {name}", ("check", "pc3", "pc"), partial(make, Path("pc3")))


def _named_dumps(name: str) -> None:
    """A file of another name in both folders."""
    _damaged_dumps(bytes)
    for folder in ("pc", "board"):
        written(f"{folder}/{name}", bytes(99))


def _damaged_dumps(damage: Callable[[bytes], bytes]) -> None:
    for file in Path("pc").glob("*.bin"):
        written(f"board/{file.stem}_out.bin", damage(file.read_bytes()))


def _special_dump(make: Callable[[Path], object]) -> None:
    _damaged_dumps(bytes)
    path = sorted(Path("board").iterdir())[0]
    path.unlink()
    make(path)
