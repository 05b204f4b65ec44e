"""A stand-in for `magik-transform-tools`, which may not be redistributed: it converts nothing.

It checks its arguments and the folder as the guides want them, writes files of the names that the converter is known to
write, and prints a log in the guide's form. The variable STAND_IN chooses how it behaves. What it cannot show: whether
the real converter accepts the network.
"""

import sys
from pathlib import Path

TOOL = "magik-transform-tools"
# The guide's log (chapter 3.3, July 2022): the first rows of ResNet-18 with one debug picture.
HEAD = "feature name  cosine_avg cosine_min cosine_max euc_distan stand_devi max_absolu max_abs_0~1"
NUMBERS = [
    "0.99813 0.99813 0.99813 0.09554 0.08244 0.14382 0.40347",
    "0.99078 0.99078 0.99078 0.09715 0.03879 0.36473 1.83665",
    "0.99310 0.99310 0.99310 0.09006 0.04120 0.31800 1.34751",
]
SCRIPT = r"""
import json, os, subprocess, sys, time
from pathlib import Path

mode = os.environ.get("STAND_IN", "")
print("INFO(magik): magik-transform-tools version:1.0.0(00010000_2923907) cuda version:9.0.176 built:20220713-0924_GPU")
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))


def refuse(why):
    print(f"2022-02-11 17:15:16.480355: E interface.cc:69-parase input paramter] {why}", file=sys.stderr)
    print("bye")
    sys.exit(3)


if set(options) != {"-i", "-o", "-cfg", "--save_quantize_model"} or len(sys.argv) != 9:
    refuse("unknown options " + " ".join(sys.argv[1:]))
if options["--save_quantize_model"] != "true" or not options["-o"].endswith(".mk.h"):
    refuse("bad value of an option")
try:
    cfg = json.loads(Path(options["-cfg"]).read_text())
except ValueError:
    refuse("Invalid json")
if not Path(options["-i"]).read_bytes():
    refuse("no model")
for key in ("MEAN", "NORMAL"):
    if len(cfg[key]) != 3:
        refuse(f"{key} wants three values")
for key in ("QUANT_DATASET_PATH", "DEBUG_PATH"):
    if {path.suffix for path in Path(cfg[key]).iterdir()} != {".png"}:
        refuse(f"{key} holds other files than pictures")
if len(list(Path(cfg["QUANT_DATASET_PATH"]).iterdir())) != cfg["QUANT_DATASET_SIZE"]:
    refuse("QUANT_DATASET_SIZE")
bits = json.loads(Path("magik_node_quant_bit_info.json").read_text())
if cfg["LOAD_OP_QUANT_MIN_MAX"] and not all("MIN" in node for node in bits.values()):
    refuse("no ranges")
if mode == "fails":
    refuse("Invalid json")
if mode == "hangs":
    child = subprocess.Popen(["sleep", "600"])
    Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid}")
    print("waiting", flush=True)
    time.sleep(600)
if mode == "crashes":
    print("loading", flush=True)
    os.kill(os.getpid(), 11)
for share in (50, 100):
    print(f"\rComputeScale: {share}.00 %", end="", flush=True)
print()
Path("magik_transform_event_1.log").write_text("by-product")
Path("magik_dump_path/ptq_model").mkdir(parents=True)
names = list(bits)[:NAMES]
info = {"all_type": ["BatchNormScale", "Conv2D"], "BatchNormScale": names[:1], "Conv2D": names[1:] + ["extra"]}
Path("magik_dump_path/model_node_info.json").write_text(json.dumps(info))
print(HEADING)
for name, numbers in zip([*names, "extra"], TABLE):
    print(f"{name:<40} {numbers}")
stem = options["-o"].removesuffix(".mk.h")
if mode != "makes nothing":
    Path(f"{stem}.bin").write_bytes(b"board")
Path(f"magik_model_{stem}.mk.h").write_text("header")
Path("save-magik").mkdir()
Path("save-magik/model_quant.mgk").write_bytes(b"pc")
print("* ^_^ Convert successfully, Enjoy it ^_^ *")
sys.exit(1 if mode == "ends with 1" else 0)
"""


def install(folder: Path) -> Path:
    """Write the stand-in as an executable."""
    folder.mkdir(parents=True, exist_ok=True)
    values = f"HEADING, TABLE, NAMES = {HEAD!r}, {NUMBERS!r}, {len(NUMBERS) - 1}"
    tool = folder / TOOL
    tool.write_text(f"#!{sys.executable}\n{values}\n{SCRIPT}")
    tool.chmod(0o755)
    return tool
