"""What the user says of the network itself: how PyTorch reads it, inputs that are constants, and where it ends."""

from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stages.core.base.errors import UserError, one_line
from stages.core.config.schema import ModelConfig, TorchConfig

__all__ = ["asked_keys", "asked_model"]

ASKED = ("model.torch.", "model.constants.", "model.outputs=")
"""How overrides begin that init takes: what else a model's file says it finds out."""


def asked_model(name: str, source: str | None, overrides: Sequence[str]) -> ModelConfig:
    """The model to read: its source, and what overrides say.

    Raises:
        UserError: for an override of another key, or with a value that its key does not take.
    """
    asked = asked_keys(overrides)
    try:
        torch = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TorchConfig), asked.get("torch", {})))
    except OmegaConfBaseException as error:
        raise UserError(f"{' '.join(overrides)}: {one_line(error)}") from error
    assert isinstance(torch, TorchConfig)
    outputs = asked.get("outputs", [])
    return ModelConfig(
        name=name,
        source=source,
        torch=torch,
        constants=asked.get("constants", {}),
        outputs=[outputs] if isinstance(outputs, str) else outputs,
    )


def asked_keys(overrides: Sequence[str]) -> dict[str, Any]:
    """The keys of `model` that overrides set, as its file has them."""
    for override in overrides:
        if not override.startswith(ASKED):
            raise UserError(
                f"{override}: init takes model.torch.KEY=VALUE, model.constants.INPUT=VALUE and model.outputs=[NAME]; "
                "edit conf/model/, or give others to python -m stages.compose --keep"
            )
    given = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(given, dict)
    return dict(given.get("model", {}))
