"""The deployment that a rehearsal makes: its settings, its contracts and its databases."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pm_core import DataContract, Settings, ZoneContract, parameter_prefix
from pm_rehearsal.cloud import EmbeddedCloud

Role = Literal["master", "app", "dms", "cutover"]

# What differs from a deployment to AWS, and why; everything else is cdk.json's.
DIFFERENCES: Mapping[str, Any] = {
    "databaseSslMode": "disable",  # the packaged PostgreSQL has no TLS
    "slotPlugin": "pgoutput",  # nor test_decoding
}


def settings_of(project: Path, *, suffix: str) -> dict[str, Any]:
    """The settings in the project's cdk.json, as the rehearsal deploys them.

    Args:
        project: Directory of cdk.json.
        suffix: The environmentSuffix to use.

    Raises:
        SettingsError: They are wrong.
    """
    context = json.loads((project / "cdk.json").read_text()).get("context", {})
    settings = dict(context.get("settings", {})) | dict(DIFFERENCES) | {"environmentSuffix": suffix}
    Settings.parse(settings)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is deployed, read back from the account.

    Attributes:
        cloud: Where.
        suffix: Under which name.
    """

    cloud: EmbeddedCloud
    suffix: str

    def parameters(self) -> dict[str, str]:
        """Every SSM parameter of the deployment."""
        pages = self.cloud.client("ssm").get_paginator("get_parameters_by_path")
        return {
            parameter["Name"]: parameter["Value"]
            for page in pages.paginate(Path=parameter_prefix(self.suffix), Recursive=True)
            for parameter in page["Parameters"]
        }

    def zone(self) -> ZoneContract:
        """The weighted name that clients use."""
        return ZoneContract.parse(self.parameters(), suffix=self.suffix, environment="source")

    def conninfo(self, environment: str, role: Role) -> dict[str, Any]:
        """How to log in to one environment's database, from its secret; for ``psycopg.connect``."""
        data = DataContract.parse(self.parameters(), suffix=self.suffix, environment=environment)
        arn = getattr(data, f"{role}_secret_arn")
        secret = json.loads(self.cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
        return {
            "host": secret["host"],
            "port": int(secret["port"]),
            "dbname": secret["dbname"],
            "user": secret["username"],
            "password": secret["password"],
            "sslmode": data.ssl_mode,
        }
