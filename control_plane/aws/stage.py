"""The settings of a stage, as they were rendered into Chalice's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from control_plane.chalicelib.adapters.aws.settings import Settings, read_settings
from twokeys.errors import InvalidInput

PROJECT: Final = Path(__file__).resolve().parent.parent
"""The Chalice project."""

CONFIG: Final = PROJECT / ".chalice" / "config.json"
MAX_CONFIG_BYTES: Final = 1024 * 1024


class _Stage(msgspec.Struct):
    environment_variables: dict[str, str] = {}


class _Config(msgspec.Struct):
    stages: dict[str, _Stage] = {}


def stage_settings(config: Path, stage: str) -> Settings:
    """The settings of a stage.

    Raises:
        InvalidInput: when there is no such file or stage, or it can't be read.
        Refused: when something is missing.
    """
    try:
        data = config.read_bytes()
        found = msgspec.json.decode(data[:MAX_CONFIG_BYTES], type=_Config).stages.get(stage)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput(f"{config} can't be read.", not_done="Nothing was done.",
                           advice="Render the stage again.", code="bad_config") from error  # fmt: skip
    if found is None:
        raise InvalidInput(f"{config} has no stage {stage}.", not_done="Nothing was done.",
                           advice="Render the stage from the stack's outputs.", code="no_stage")  # fmt: skip
    return read_settings(found.environment_variables)
