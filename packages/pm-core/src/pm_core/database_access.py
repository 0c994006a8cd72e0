"""How a function of ours logs in to a PostgreSQL of RDS: what a secret says, and which server to trust.

Runs inside Lambda: this module stands alone, with the standard library only. The client is pg8000, which the functions
that connect bring along (:data:`pm_core.cdk.PG8000`).
"""

import json
import os
import ssl
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Self

_BUNDLE_SECONDS = 10
_RETRY_SECONDS = 2.0


class SecretError(ValueError):
    """A secret does not hold what it should; the message never holds what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One secret's content.

    Attributes:
        host: Address of the database.
        port: Its TCP port.
        dbname: Its name.
        username: Who logs in.
        password: With what; not shown in a representation.
    """

    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a secret's JSON object.

        Raises:
            SecretError: A key is missing, which is what an unattached secret looks like.
        """
        content = json.loads(text)
        try:
            return cls(
                host=content["host"],
                port=int(content["port"]),
                dbname=content["dbname"],
                username=content["username"],
                password=content["password"],
            )
        except KeyError as error:
            raise SecretError(f"a database secret has no {error}: is it attached to the instance?") from None


def tls(mode: str, *, seconds: float = 0.0) -> ssl.SSLContext | None:
    """The TLS that an ssl mode asks for: disable, require, verify-ca or verify-full.

    The authorities of RDS are not in any operating system's store. They are read from AWS at run time, over a
    connection that is itself verified, and so never go stale.

    Args:
        mode: The ssl mode.
        seconds: For how long to try again when they cannot be read; each attempt takes 10 s at most.

    Raises:
        OSError: The authorities cannot be read.
    """
    if mode == "disable":
        return None
    context = ssl.create_default_context()
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_verify_locations(cadata=_authorities(os.environ["AWS_REGION"], seconds=seconds))
    context.check_hostname = mode == "verify-full"
    # Python 3.13 asks more of an authority's certificate than RFC 5280 lets RDS's older ones say; the chain and, for
    # verify-full, the name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _authorities(region: str, *, seconds: float) -> str:
    bundle = f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(bundle, timeout=_BUNDLE_SECONDS) as response:
                return bytes(response.read()).decode()
        except OSError:
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
