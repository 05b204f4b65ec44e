import pytest

from stages.build.pluto.refusals import Concern, Effect, Refusal, with_recipe


def refused(concern):
    return Refusal("node", "Conv", Effect.wrong, "reason", "cure", "README.md", concern)


def cures(*concerns):
    return [refusal.cure for refusal in with_recipe([refused(concern) for concern in concerns])]


def test_the_files_form_is_cured_by_the_recipe_and_settings_by_their_own_cure():
    recipe, own = cures(Concern.form, Concern.settings)
    assert recipe.startswith("cure: python -m stages.compose --keep soc=t41 quant=int8")
    assert own == "cure"


@pytest.mark.parametrize("other", [Concern.form, Concern.settings])
def test_beside_a_refused_network_the_recipe_is_left_out(other):
    assert cures(Concern.network, other) == ["cure", "cure"]
