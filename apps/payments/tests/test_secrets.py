import asyncio
import json

import boto3
import pytest
from botocore.stub import Stubber

from pm_payments.secrets import SecretsManager
from pm_writer import CredentialsError

SECRET = {
    "engine": "postgres",
    "host": "db.internal",
    "port": 5432,
    "dbname": "payments",
    "username": "pm_app",
    "password": "hidden",
}


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> tuple[SecretsManager, Stubber]:
    client = boto3.client("secretsmanager", region_name="us-east-1")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    return SecretsManager(ssl_mode="verify-full"), Stubber(client)


def test_a_secret_becomes_connection_parameters(stubbed: tuple[SecretsManager, Stubber]):
    secrets, stub = stubbed
    stub.add_response("get_secret_value", {"SecretString": json.dumps(SECRET)}, {"SecretId": "arn:aws:one-secret"})
    with stub:
        assert asyncio.run(secrets.parameters("arn:aws:one-secret")) == {
            "host": "db.internal",
            "port": 5432,
            "dbname": "payments",
            "user": "pm_app",
            "password": "hidden",
            "sslmode": "verify-full",
            "application_name": "pm_payments",
        }


@pytest.mark.parametrize("text", ["hidden", "[1]", '{"host": "hidden"}'])
def test_a_secret_of_another_shape_is_refused_without_showing_it(stubbed: tuple[SecretsManager, Stubber], text: str):
    secrets, stub = stubbed
    stub.add_response("get_secret_value", {"SecretString": text})
    with stub, pytest.raises(CredentialsError, match="is not a JSON object with host, port") as caught:
        asyncio.run(secrets.parameters("arn:aws:one-secret"))
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_secret_that_cannot_be_read_is_named(stubbed: tuple[SecretsManager, Stubber]):
    secrets, stub = stubbed
    stub.add_client_error("get_secret_value", "ResourceNotFoundException")
    with stub, pytest.raises(CredentialsError, match=r"arn:aws:one-secret cannot be read: .*ResourceNotFound"):
        asyncio.run(secrets.parameters("arn:aws:one-secret"))
