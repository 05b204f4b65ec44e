"""Mistaken words on the command line, for every command."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile.case import Case

__all__ = ["call_cases"]

PICTURE = "evaluation/ant/0.png"
STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build", "track")
PLACES = {
    "a folder": "out",
    "a folder that is not there": "absent/x.json",
    "below a file": "net.onnx/x.json",
    "a full disk": "/dev/full",
    "a name of 300 letters": "x" * 300,
    "a name of 5,000 letters": "y/" * 2500,
    "no name": "",
    "line breaks": "a\nb/c.json",
}
"""Where a result cannot be written."""
WRITERS: tuple[tuple[str, ...], ...] = (
    ("infer", PICTURE, "--json"),
    ("infer", PICTURE, "--dump"),
    ("check", "pc", "board", "--json"),
    ("check", "pc", "board", "--html"),
    ("scan", "net.onnx", "--soc", "t40", "--json"),
    ("scan", "net.onnx", "--soc", "t40", "--html"),
    ("autotune", "--mean-bits", "6", "--no-track", "--json"),
    ("autotune", "--mean-bits", "6", "--no-track", "--node-bits"),
    ("bisect", "--limit", "1", "--json"),
    ("build.pluto", "net.onnx", "--json"),
    ("compose", "soc=t41", "--params"),
)
"""Commands that write where they are told: the place follows."""
NUMBERS = ("", "x", "nan", "inf", "-inf", "-1", "0", "1e999", "9" * 400, "1_000", "٣", "0x10", "1,2", "\n")
TAKE_NUMBERS: tuple[tuple[str, ...], ...] = (
    ("check", "pc", "board", "--count"),
    ("profile", "board.log", "--count"),
    ("profile", "board.log", "--run"),
    ("bisect", "--limit"),
    ("bisect", "--below"),
    ("autotune", "--no-track", "--mean-bits"),
    ("autotune", "--no-track", "--mean-bits", "6", "--pictures"),
    ("autotune", "--no-track", "--mean-bits", "6", "--points"),
)
"""Commands that take a number: it follows."""
BUDGETS = (
    "size",
    "size=",
    "size=x",
    "size=nan",
    "size=inf",
    "size=-1",
    "size=0",
    "=5",
    "bogus=1",
    "size=1e999x",
    "bitops=x",
)
TARGETS = (
    f"error={'9' * 5000}/8",
    "error",
    "error=",
    "error=nan",
    "error=-1",
    "fidelity=2",
    "cosine=inf",
    "bogus=1",
    "accuracy=8/9",
    "error=8/8/8",
)
SHAPES = (
    "x",
    "images=",
    "images=1",
    "images=x,y",
    "images=1,3,-1,16",
    f"images=1,3,{2**70},16",
    "bogus=1,3,16,16",
    "=",
    "images=1,3,0,0",
)
SOURCES = (
    "file:",
    "file:absent",
    "file:../../../../etc/shadow",
    "package:",
    "package:x",
    "package:x==1",
    "package:x==1/../../x",
    "package:x==1/y#sha256=",
    "package:x==1/y#sha256=" + "g" * 64,
    "https:",
    "https://",
    "https://[::1",
    "http://a.b/c.onnx",
    "ftp://a/b",
    "file:a\nb",
    "file:" + "x" * 5000,
    "file:net.onnx#sha256=0",
    "\u202efile:net.onnx",
    "file:\x1b[31mred",
    "~/x.onnx",
)
OVERRIDES = (
    "",
    "=",
    "a",
    "a=",
    "=a",
    "soc=",
    "soc=[",
    "soc={a:1}",
    "soc=../../../etc/passwd",
    "soc=/etc/passwd",
    "+soc=t40",
    "++a.b.c=1",
    "~soc",
    "~model",
    "model.inputs=1",
    "model.inputs=[1]",
    "model.inputs=[{mean: [x]}]",
    "model.inputs=[{shape: [1, 3, -1, 0]}]",
    "model.inputs=[{shape: [99999999999999999999]}]",
    "quant.feature_bits=1e999",
    "quant.percentile=nan",
    "quant.percentile=-1",
    "quant.percentile=101",
    "quant.steps=-1",
    "quant.variants=0",
    "quant.skip_nodes=x",
    "quant.skip_nodes=[1, null]",
    "quant.edge_bits=3",
    "data.calibration.size=-1",
    "data.calibration.size=x",
    "data.calibration.part=9/2",
    "data.evaluation.task=bogus",
    "data.evaluation.labels=pattern:(",
    "data.evaluation.labels=pattern:(a+)+$",
    "model.preprocess.shorter_side=-1",
    "model.preprocess.pad=nan",
    "model.name=../x",
    "model.name=''",
    "model.name=" + "n" * 300,
    "model.fp32_diff=nan",
    "model.detector.anchors=[x]",
    "evaluate.backend=bogus",
    "track.experiment=''",
    "compare.cures=-1",
    "model.source=null",
    "soc.name=null",
    "hydra.run.dir=/x",
    "model.source='${oc.env:HOME}'",
    "quant.name='${quant.name}'",
    "a='",
    "experiment=bits",
    "quant=int8,best",
    "\n",
    "\x1b[31m=1",
)


def call_cases() -> Iterator[Case]:
    """Places that cannot be written, numbers that are none, sources and overrides that cannot be taken."""
    for place, target in PLACES.items():
        for line in WRITERS:
            yield Case("calls", f"{line[-1]} {place}", (*line, target), _ready)
    for line in TAKE_NUMBERS:
        for number in NUMBERS:
            yield Case("calls", f"{line[-1]} {number[:20]!r}", (*line, number), _ready)
    for name, values in {"--budget": BUDGETS, "--target": TARGETS}.items():
        for value in values:
            yield Case("calls", f"{name} {value}", ("autotune", "--no-track", name, value))
    for shape in SHAPES:
        yield Case("calls", f"--shape {shape}", ("scan", "net.onnx", "--soc", "t40", "--shape", shape))
        yield Case("calls", f"--shape {shape}", ("init", "net.onnx", "calibration", "--shape", shape))
    for source in SOURCES:
        yield Case("calls", source[:60], ("scan", source, "--soc", "t40"))
        yield Case("calls", source[:60], ("init", source, "calibration"))
        yield Case("calls", source[:60], ("infer", source))
        yield Case("calls", source[:60], ("compose", f"model.source='{source}'"))
    for override in OVERRIDES:
        yield Case("calls", override[:60], ("compose", override))
        yield Case("calls", override[:60], ("scan", "net.onnx", override))
        yield Case("calls", override[:60], ("sweep", "--cfg", "job", override))
    yield from _odd_words()


def _odd_words() -> Iterator[Case]:
    """Options that do not exist, names where there are none, other commands' words."""
    for stage in STAGES:
        for words in (
            ("--bogus",),
            ("\u202e",),
            ("--params",),
            ("--params", "absent.yaml"),
            ("--params", "a\nb"),
            ("--params", "out"),
        ):
            yield Case("calls", " ".join(words), (stage, *words))
    names = ("", "-", "--", "absent", "a\nb", "out", "\x1b[31mred", "x" * 5000, "/proc/self/mem", "*")
    for name in names:
        yield Case("calls", name[:60], ("infer", name))
        yield Case("calls", name[:60], ("check", "pc", name))
        yield Case("calls", name[:60], ("profile", name))
        yield Case("calls", name[:60], ("init", name))
        yield Case("calls", name[:60], ("init", "net.onnx", "calibration", "--name", name))
        yield Case("calls", name[:60], ("init", "net.onnx", "calibration", "--soc", name))
        yield Case("calls", name[:60], ("scan", "net.onnx", "--soc", name))
        yield Case("calls", name[:60], ("build.pluto", name))
        yield Case("calls", name[:60], ("toolchain", "install", name))
        yield Case("calls", name[:60], ("toolchain", name))
        yield Case("calls", name[:60], ("bisect", "--metric", name))
        yield Case("calls", name[:60], ("profile", "board.log", "--bits", name))


def _ready() -> None:
    """A board's dump and a log of its times."""
    Path("board").mkdir()
    for file in Path("pc").glob("*.bin"):
        (Path("board") / f"{file.stem}_out.bin").write_bytes(file.read_bytes())
    shapes = "LayerName OperatorType InputShape OutputShape FilterShape Stride Pad Dila"
    heading = f"{shapes} Avg(ms) Max(ms) Min(ms) Last(ms) Avg(%) GOPs"
    row = (
        "stem Convolution {1,16,16,4} {1,16,16,8} {3,3,4,8} {1,1} {1,1,1,1} {1,1} 0.247 0.292 0.236 0.2360 2.68% 0.058"
    )
    lines = ("===== Detailed DispatchProfiler Summary: N/A, Exclude 0warm-ups =====", heading, row, "Total: 0.247 ms")
    Path("board.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
