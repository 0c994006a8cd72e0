"""The checkout that is deployed from: its cdk.json, and the settings of one deployment."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pm_core import Settings
from pm_core.settings import laid_over
from pm_delivery.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One checkout, and what one deployment lays over its settings.

    Attributes:
        root: Directory of cdk.json.
        overrides: Settings laid over those of cdk.json.
        settings: Both together.
    """

    root: Path
    overrides: Mapping[str, Any]
    settings: Settings

    @classmethod
    def read(cls, root: Path, *, suffix: str | None = None, file: Path | None = None) -> Self:
        """Read the settings.

        Args:
            root: Directory of cdk.json.
            suffix: Another environmentSuffix.
            file: TOML file with settings to lay over those of cdk.json.

        Raises:
            UsageError: The file cannot be read.
            SettingsError: A setting is wrong.
        """
        overrides: Mapping[str, Any] = {}
        if file is not None:
            try:
                overrides = tomllib.loads(file.read_text())
            except (OSError, tomllib.TOMLDecodeError) as error:
                raise UsageError(f"--settings {file}: {error}: give a TOML file of settings as in cdk.json") from None
        if suffix is not None:
            overrides = laid_over(overrides, {"environmentSuffix": suffix})
        context = json.loads((root / "cdk.json").read_text()).get("context", {})
        return cls(root=root, overrides=overrides, settings=Settings.read(context.get("settings"), overrides))
