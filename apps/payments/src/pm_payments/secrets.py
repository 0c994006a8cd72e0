"""Database credentials from AWS Secrets Manager."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from pm_writer import CredentialsError

_FIELDS = {"host": "host", "port": "port", "dbname": "dbname", "username": "user", "password": "password"}


class SecretsManager:
    """Reads secrets with the process's own AWS identity (the task role).

    Args:
        ssl_mode: libpq's sslmode, added to what a secret says.
    """

    def __init__(self, *, ssl_mode: str) -> None:
        self._ssl_mode = ssl_mode
        self._client = boto3.client(
            "secretsmanager", config=Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3})
        )

    async def parameters(self, arn: str) -> Mapping[str, Any]:
        """psycopg's connection parameters from one secret (``host, port, dbname, username, password``).

        Raises:
            CredentialsError: The secret cannot be read, or lacks a field. Never says what it holds.
        """
        try:
            answer = await asyncio.to_thread(self._client.get_secret_value, SecretId=arn)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise CredentialsError(f"secret {arn} cannot be read: {error}") from error
        try:
            secret = json.loads(answer["SecretString"])
            found = {name: secret[field] for field, name in _FIELDS.items()}
        except (KeyError, TypeError, ValueError):
            # Without its cause: a JSON error quotes what it could not read.
            raise CredentialsError(f"secret {arn} is not a JSON object with {', '.join(_FIELDS)}") from None
        return {**found, "sslmode": self._ssl_mode, "application_name": "pm_payments"}
