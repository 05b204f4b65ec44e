"""The environment of Sophgo's compiler: TPU-MLIR out of its wheel, mended so that it runs beyond Ubuntu 22.04."""

from stages.core.environments.environment import Environment, Mend

__all__ = ["SOPHGO"]

# What the tools import of what the wheel asks for, in the versions that it names; psutil, setuptools and filelock, that
# it does not name. There is one file of each, and its digest: the wheel is for x86_64 Linux and Python 3.10.
WHEELS = {
    "tpu-mlir==1.30.2": "542807361c9eeb0777a7bd35e501d8c71cce767e4bce021a3cb3a7c25c35f909",
    "numpy==1.24.3": "2d926b52ba1367f9acb76b0df6ed21f0b16a1ad87c6720a1121674e5cf63e2b6",
    "scipy==1.11.1": "366a6a937110d80dca4f63b3f5b00cc89d36f678b2d124a01067b154e692bab1",
    "tqdm==4.65.0": "c4f53a17fe37e132815abceec022631be8ffe1b9381c2e6e30aa70edc99e9671",
    "pillow==10.0.0": "a74ba0c356aaa3bb8e3eb79606a87669e7ec6444be352870623025d75a14a2bf",
    "plotly==5.15.0": "3508876bbd6aefb8a692c21a7128ca87ce42498dd041efa5c933ee44b55aab24",
    "tenacity==9.2.1": "9e56f17539296baab7beabb08b92f6ee3d7be92d8be72d763360677c2ad6580e",
    "packaging==26.4": "81383611a09c1bc0b08b76e0fd5829d7c6824c65b27a6aee339da133f4233ea2",
    "opencv-python-headless==4.8.0.74": "f8a88620c43a5d17f7df8317767da93b935656ab9236df92e1e2e0dd23195756",
    "protobuf==3.20.3": "9aae4406ea63d825636cc11ffb34ad3379335803216ee3a856787bcf5ccc751e",
    "graphviz==0.20.1": "587c58a223b51611c0cf461132da386edd896a029524ca61a1462b880bf97977",
    "scikit-learn==1.6.1": "775da975a471c4f6f467725dff0ced5c7ac7bda5e9316b260225b48475279a1b",
    "joblib==1.6.0": "3dbbf9f6e4b592a2357b854608e980fe6390d131d7a82f011a377ef2ebef7aba",
    "threadpoolctl==3.8.0": "f1b49c82704d50f13ffae019c727b0fa4f6791a58f48f06a09c45face1be66da",
    "cloudpickle==3.1.3": "1654f4f18e416447210a63c5c25a135d65a292156aa5fa519dfa4baf7726dddb",
    "pandas==2.0.3": "ba619e410a21d8c387a1ea6e8a0e49bb42216474436245718d7f2e88a2f8d7c0",
    "python-dateutil==3.0.0": "3c79630202e4152c6add678446984236efe4f57e84d8e892aab0637bab82e9fd",
    "pytz==2026.6": "7fed3fee8fd6bd4a2b7b75a8d56021d0624127bf69bd5691f115db929ac570b3",
    "tzdata==2026.6": "0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec",
    "six==1.17.0": "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274",
    "onnx==1.14.1": "921ad325b17484698d9d65978e123b1f351328ea50de6f84f25d09d5c7dde361",
    "onnxruntime==1.16.3": "ef2b1fc269cabd27f129fb9058917d6fdc89b188c49ed8700f300b945c81f889",
    "onnxruntime-extensions==0.14.0": "766cc8e8540afbec9b39c2fd3b23943eafa1d52c8ac4fefab8b2ead276bad814",
    "coloredlogs==15.0.1": "612ee75c546f53e92e70049c9dbfcc18c935a2b9a53b66085ce9ef6a6e5c0934",
    "humanfriendly==10.0": "1697e1a8a8f550fd43c2865cd84542fc175a61dcb779b6fee18cf6b6ccba1477",
    "flatbuffers==25.12.19": "7634f50c427838bb021c2d66a3d1168e9d199b0607e6329399f04846d42e20b4",
    "sympy==1.14.0": "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
    "mpmath==1.3.0": "a0b2b9fe80bbcd81a6647ff13108738cfb482d481d826cc0e02f5b35e5c88d2c",
    "onnxsim==0.4.17": "7bdb1a5445131b2cfe8a251755e8612a05b4833a345dbe8b3559484bc6b8ed4e",
    "rich==15.0.0": "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb",
    "markdown-it-py==4.3.0": "7aa1511a46c39138de78d9eba92ce47e63124d8003fc98b3a351909e04239efa",
    "mdurl==0.1.2": "84008a41e51615a49fc9966191ff91509e3c40b939176e643fd50a5c2196b8f8",
    "pygments==2.21.0": "2363c69b61c4a97c838da3b130dcd6468f4848992b21a82f2a63ec34377137d9",
    "transformers==5.6.2": "f8d3a1bb96778fed9b8aabfd0dd6e19843e4b0f2bb6b59f32b8a92051b0f348f",
    "tokenizers==0.22.2": "369cc9fc8cc10cb24143873a0d95438bb8ee257bb80c71989e3ee290e8d72c67",
    "huggingface-hub==1.33.0": "04e434b06e100eddbce9a6e817d72693a7884b10a79bd67ab48080d5c07eb899",
    "safetensors==0.8.0": "fd6f3f93c9a0a7cc2788ee63fb763353d4bd2e89b0751bc78fcf7dda00bea774",
    "regex==2026.9.29": "4fb41211d2333eb930a51e0546a65999761cf1f572a4da56ef9b8a62966c06f2",
    "pyyaml==6.0.4": "88a089e6424a8a256321270620d5a4328ad5227fb2061b07d33f596894336914",
    "fsspec==2026.9.0": "8dd6e646e99ea382bd85f97a45e6b526a442d79423a7dc673f1e2756d05fcb5f",
    "httpx==0.28.1": "d909fcccc110f8c7faf814ca82a9a4d816bc5a6dbfea25d6591d6985b8ba59ad",
    "httpcore==1.0.9": "2d400746a40668fc9dec9810239072b40b4484b640a8c38fd654a024c7a1bf55",
    "h11==0.16.0": "63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86",
    "anyio==4.16.0": "c66ae634e0b8228396b801741beb3294326d4b6102f7bba4041c0dfb58c29026",
    "idna==3.20": "ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c",
    "certifi==2026.10.19.post1": "1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2",
    "exceptiongroup==1.3.2": "41c6a70dfec22050d3d8b43386b059a4dc0bca3f3d40a40971cb206fff1785af",
    "typer==0.29.1": "00dbc549c13428bec1be55fe1f4d0fb8c6637a310e4f178ef14abe9534ee7b58",
    "click==8.5.1": "8bb5376d2006950386f8c6427613334a2acadc5f559cb80e638d00b4df957e37",
    "shellingham==1.5.4": "7ecfff8f2fd72616f7481040475a65b2bf8af90a56c89140852d1120324e8686",
    "annotated-doc==0.0.6": "361ca0950cc7082f53fa69e9328409f40a62c61e57e0a47e1825a08078a58a53",
    "psutil==7.2.2": "076a2d2f923fd4821644f5ba89f059523da90dc9014e85f8e45a5774ca5bc6f9",
    "filelock==4.1.0": "2ce9818e3e2d8f284c1a964414447ef148d42a5fd5e2a477a7118e574b293ec1",
    "typing-extensions==4.16.0": "481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8",
    "setuptools==65.5.1": "d0b9a8433464d5800cbe05094acf5c6d52a91bfac9b52bcfc4d41382be5d5d31",
}

PACKAGE = """
import pathlib, sys
site = next(pathlib.Path(sys.prefix).glob("lib/python*/site-packages"))
package = site / "tpu_mlir"
"""

# The wheel has the libraries of its own system in front of this one's; a Python of a newer system does not start with
# them ("GLIBC_2.36 not found").
LIBRARIES = """
kept = package / "lib" / "unused"
kept.mkdir(exist_ok=True)
for name in ("libc.so.6", "libm.so.6", "libpthread.so.0"):
    path = package / "lib" / "third_party" / name
    if path.exists():
        path.replace(kept / name)
"""

# The calibration imports torch for `tensor(x).numpy()` alone; the real one brings gigabytes of accelerator libraries.
# Other packages ask whether there is one by importing parts of it: those they must not find.
TORCH = '''
(site / "torch").mkdir(exist_ok=True)
(site / "torch" / "__init__.py").write_text("""\\
import numpy

__version__ = "0.0.0"


class _Tensor:
    def __init__(self, values):
        self._values = numpy.array(values)

    def numpy(self):
        return self._values


def tensor(values):
    return _Tensor(values)


def __getattr__(name):
    raise ImportError(f"torch.{name}: PyTorch is not in this environment")
""")
'''

# Calibration draws what it has found with Graphviz, which the wheel's libraries break: then it ends before it writes
# its table. The package's own programs come first on its PATH.
DOT = """
path = package / "bin" / "dot"
path.write_text("#!/bin/sh\\nexit 0\\n")
path.chmod(0o755)
"""

SMOKE = """
import os, pathlib, subprocess, sys, tempfile
import numpy, onnx, torch
from onnx import TensorProto, helper, numpy_helper

assert torch.tensor([1]).numpy().tolist() == [1]
weight = numpy.arange(-36, 36, dtype="float32").reshape(4, 2, 3, 3) / 36
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])], [numpy_helper.from_array(weight, "w")],
)
bin = pathlib.Path(sys.prefix) / "bin"
with tempfile.TemporaryDirectory() as folder:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), f"{folder}/net.onnx")
    numpy.savez(f"{folder}/in.npz", x=numpy.linspace(-1, 1, 128, dtype="float32").reshape(1, 2, 8, 8))
    for call in (
        "model_transform.py --model_name net --model_def net.onnx --input_shapes [[1,2,8,8]] --test_input in.npz"
        " --test_result top.npz --mlir net.mlir",
        "model_deploy.py --mlir net.mlir --quantize F16 --chip bm1684x --test_input in.npz --test_reference top.npz"
        " --model net.bmodel",
    ):
        tool, *arguments = call.split()
        done = subprocess.run([sys.executable, bin / tool, *arguments], cwd=folder, capture_output=True, text=True)
        written = pathlib.Path(folder, arguments[-1])
        assert done.returncode == 0 and written.exists(), f"{tool}: " + (done.stdout + done.stderr).strip()[-200:]
"""

SOPHGO = Environment(
    name="sophgo",
    purpose="compiles for Sophgo's chips and simulates them: TPU-MLIR",
    python="3.10",
    requirements=tuple(f"{name} --hash=sha256:{digest}" for name, digest in WHEELS.items()),
    smoke=SMOKE,
    gigabytes=2.0,
    mends=(
        Mend("the system's own C library", PACKAGE + LIBRARIES),
        Mend("the little that is used of torch", PACKAGE + TORCH),
        Mend("no drawings by Graphviz", PACKAGE + DOT),
    ),
    variables={"TPUC_OPT_TIMEOUT": "", "OMP_NUM_THREADS": "4"},
)
