import onnx

from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_findings import best_variant
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from tests.compare.diagnose.inputs.fed_networks import TRAINED, network, no_labels, pictures, training


def test_too_few_pictures_say_nothing():
    model, weight = network(0)
    evidence = InputEvidence(model, training(weight, 0), pictures(7, 1), no_labels)
    assert not evidence.exists
    assert evidence.tried() == []
    assert not InputEvidence(model, [], pictures(12, 1), no_labels).exists


def test_a_model_is_not_changed():
    model, weight = network(0)
    before = onnx.ModelProto()
    before.CopyFrom(model)
    best_variant(PreprocessingVariant(TRAINED), InputEvidence(model, training(weight, 0), pictures(8, 0), no_labels))
    assert model == before
