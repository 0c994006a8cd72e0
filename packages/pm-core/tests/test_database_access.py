import io
import json
import ssl
from pathlib import Path

import botocore
import pytest

from pm_core import database_access
from pm_core.database_access import Credentials, SecretError, tls


def test_credentials_do_not_show_their_password() -> None:
    content = {"host": "h", "port": 5432, "dbname": "d", "username": "u", "password": "hidden"}
    assert "hidden" not in repr(Credentials.parse(json.dumps(content)))


def test_an_unattached_secret_is_named_as_the_cause() -> None:
    with pytest.raises(SecretError, match="attached"):
        Credentials.parse(json.dumps({"username": "pm_app", "password": "hidden"}))


def test_tls_is_off_only_when_asked() -> None:
    context = tls("require")
    assert tls("disable") is None
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(("mode", "checks_host"), [("verify-ca", False), ("verify-full", True)])
def test_verifying_modes_trust_the_authorities_of_rds_in_the_region(
    mode: str, checks_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def urlopen(address: str, *, timeout: float) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO((Path(botocore.__file__).parent / "cacert.pem").read_bytes())

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(database_access.urllib.request, "urlopen", urlopen)
    context = tls(mode)
    assert asked == ["https://truststore.pki.rds.amazonaws.com/us-east-1/us-east-1-bundle.pem"]
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is checks_host


def test_authorities_that_cannot_be_read_at_once_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[io.BytesIO | OSError] = []

    def urlopen(_: str, *, timeout: float) -> io.BytesIO:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(database_access.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(database_access, "_RETRY_SECONDS", 0.01)
    bundle = (Path(botocore.__file__).parent / "cacert.pem").read_bytes()
    answers += [ConnectionResetError("once"), TimeoutError("twice"), io.BytesIO(bundle)]
    assert tls("verify-full", seconds=30) is not None
    answers += [ConnectionResetError("at once")]
    with pytest.raises(ConnectionResetError, match="at once"):
        tls("verify-full")
