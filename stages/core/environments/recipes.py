"""The environments that the project knows how to make."""

from collections.abc import Mapping

from stages.core.environments.environment import Environment
from stages.core.environments.sophgo import SOPHGO

__all__ = ["ENVIRONMENTS", "SOPHGO", "TENSORFLOW"]

TENSORFLOW = Environment(
    name="tensorflow",
    purpose="reads .tflite, .h5, .keras, SavedModel and frozen .pb files",
    python="3.11",
    # Keras 2 (tf-keras) reads older .h5 files. libclang, which TensorFlow asks for, is never imported.
    requirements=(
        "tensorflow-cpu==2.21.0; platform_machine == 'x86_64'",
        "tensorflow==2.21.0; platform_machine != 'x86_64'",
        "tf-keras==2.21.0",
        "tf2onnx==1.17.0",
        "keras==3.15.1",
        "onnx==1.23.2",
        "numpy==2.4.6",
        "h5py==3.14.0",
        "ml-dtypes==0.6.0",
        "protobuf==7.36.2",
        "flatbuffers==25.12.19",
        "grpcio==1.85.3",
        "absl-py==2.5.1",
        "astunparse==1.6.3",
        "gast==0.7.0",
        "google-pasta==0.2.0",
        "namex==0.1.0",
        "opt-einsum==3.4.0",
        "optree==0.20.0",
        "packaging==26.4",
        "six==1.17.0",
        "termcolor==3.3.0",
        "typing-extensions==4.16.0",
        "wrapt==2.5.2",
        "rich==15.0.0",
        "markdown-it-py==4.3.0",
        "mdurl==0.1.2",
        "pygments==2.21.0",
        "requests==2.34.2",
        "certifi==2026.10.19.post1",
        "charset-normalizer==3.5.3",
        "idna==3.20",
        "urllib3==2.8.0",
    ),
    smoke="import tensorflow, tf_keras, tf2onnx, h5py; assert tensorflow.lite.Interpreter",
    gigabytes=1.5,
    variables={
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
    },
)

ENVIRONMENTS: Mapping[str, Environment] = {each.name: each for each in (TENSORFLOW, SOPHGO)}
