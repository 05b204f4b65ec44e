from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_findings import best_variant, input_findings
from stages.compare.diagnose.inputs.labelled_pictures import LabelledPictures
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from stages.core.config.schema import Color, InputConfig
from tests.compare.diagnose.inputs.fed_networks import TRAINED, changed, network, no_labels, pictures, stored, training

AS_TRAINED = PreprocessingVariant(TRAINED)


@pytest.mark.parametrize(
    "wrong",
    [
        changed(Color.BGR),
        changed(mean=0.0, normal=255.0),
        changed(mean=0.0, normal=1.0),
        changed(Color.BGR, 0.0, 1.0),
    ],
    ids=str,
)
def test_a_planted_fault_is_found_by_the_batch_norms(wrong):
    model, weight = network(0)
    configured, samples = PreprocessingVariant(wrong), stored(pictures(12, 5), wrong)
    evidence = InputEvidence(model, training(weight, 9), samples, no_labels)
    best = best_variant(configured, evidence)
    assert best.network_input.color is Color.RGB
    np.testing.assert_allclose(best.network_input.mean, 127.5, atol=0.6)  # 127, 127.5 and 128 cannot be told apart
    (finding,) = input_findings(configured, best, evidence, [InputConfig("x", [1, 3, 12, 12])])
    assert finding.effect.after < 0.1 < finding.effect.before
    assert finding.cure.startswith("model.inputs=[{name: x, shape: [1, 3, 12, 12], mean: [12")
    assert finding.cure.endswith("color: RGB}]")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("trained", [TRAINED, replace(TRAINED, color=Color.BGR)], ids=["RGB", "BGR"])
def test_a_sound_input_is_left_alone(seed, trained):
    model, weight = network(seed)
    samples = pictures(12, 100 + seed)
    if trained.color is Color.BGR:  # trained on the other order
        norms = training(weight[:, ::-1], 200 + seed)
        samples = stored(samples, trained)
    else:
        norms = training(weight, 200 + seed)
    evidence = InputEvidence(model, norms, samples, no_labels)
    configured = PreprocessingVariant(trained)
    assert best_variant(configured, evidence) == configured
    assert input_findings(configured, configured, evidence, []) == []


@pytest.mark.parametrize("dim", [0.4, 0.6])
def test_dark_pictures_are_no_wrong_input(dim):
    model, weight = network(1)
    dark = [(sample * dim).astype(np.uint8) for sample in pictures(12, 3)]
    evidence = InputEvidence(model, training(weight, 4), dark, no_labels)
    assert best_variant(AS_TRAINED, evidence) == AS_TRAINED


def labelled(weight, count=24):
    """Pictures of one strong colour each, labelled with the channel that answers most if fed as trained."""
    rng = np.random.default_rng(0)
    samples = [np.full((12, 12, 3), rng.integers(0, 256, 3), dtype=np.uint8) for _ in range(count)]
    return LabelledPictures(samples, [int((weight @ ((sample[0, 0] - 127.0) / 128.0)).argmax()) for sample in samples])


def test_a_planted_fault_is_found_by_the_labels():
    model, weight = network(2)
    given = labelled(weight)
    wrong = changed(Color.BGR)
    evidence = InputEvidence(model, [], [], lambda: LabelledPictures(stored(given.samples, wrong), given.labels))
    best = best_variant(PreprocessingVariant(wrong), evidence)
    assert (best.network_input.color, best.flipped) == (Color.RGB, True)
    (finding,) = input_findings(PreprocessingVariant(wrong), best, evidence, [])
    assert finding.effect.metric == "log-likelihood of the labels in nats"
    assert " nats, not " in finding.sentence
    assert finding.effect.after > finding.effect.before + 0.1
    assert best_variant(AS_TRAINED, InputEvidence(model, [], [], lambda: given)) == AS_TRAINED


def test_labels_that_mean_nothing_say_nothing():
    for seed in range(8):
        model, _ = network(seed)
        rng = np.random.default_rng(seed)
        given = LabelledPictures(pictures(12, seed), rng.integers(0, 16, 12).tolist())
        assert best_variant(AS_TRAINED, InputEvidence(model, [], [], partial(replace, given))) == AS_TRAINED
