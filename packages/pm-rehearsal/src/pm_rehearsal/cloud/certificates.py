"""ACM inside the embedded AWS: certificates of an authority of its own, which clients of the rehearsal trust.

A certificate that is validated by DNS gets its CNAME written into the zone, which must be there, and is then issued at
once. The record stays when the certificate is deleted, as on AWS. A certificate that a load balancer uses, or used a
moment ago, is not deleted.
"""

import datetime as dt
import hashlib
import json
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pm_rehearsal.cloud.extension import (
    CreateHandler,
    DeleteHandler,
    Extension,
    Properties,
    Provisioned,
    Request,
    Response,
    ServiceError,
    json_response,
)

TYPE = "AWS::CertificateManager::Certificate"
VALID_DAYS = 30
RECORD_TTL_SECONDS = 300
IN_USE_SECONDS = 3.0
"""For how long ACM still names a load balancer that is gone; seconds to minutes on AWS. Source: aws-cdk #4179."""


def install(extension: Extension) -> None:
    """Make the authority, announce where its certificate is, and issue what templates ask for."""
    authority = Authority(extension.directory)
    _AUTHORITIES[extension] = authority
    extension.announce("authority", str(authority.certificate_file))
    users = _USERS[extension] = _Users()
    extension.on_reset(users.clear)
    certificates = _Certificates(extension, authority, users)
    extension.wrap(TYPE, create=certificates.create, delete=certificates.delete)
    extension.intercept("acm", certificates.look)


def certificate_file(extension: Extension, arn: str) -> str:
    """The file with an issued certificate and its key; empty when there is none."""
    path = _AUTHORITIES[extension].issued(arn)
    return str(path) if path.exists() else ""


def note_use(extension: Extension, certificate_arn: str, load_balancer_arn: str) -> None:
    """Tell ACM, again and again, that a load balancer uses a certificate just now."""
    _USERS[extension].note(certificate_arn, load_balancer_arn)


class Authority:
    """A certificate authority that lives as long as its directory.

    Args:
        directory: Where its certificate, and the issued ones with their keys, are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "certificates"
        self._directory.mkdir(mode=0o700)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of an embedded AWS")])
        certificate = self._sign(
            self._name,
            self._key.public_key(),
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(key_cert_sign=True, crl_sign=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False),
        )
        self.certificate_file = directory / "authority.pem"
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.certificate_file.chmod(0o644)

    def issued(self, arn: str) -> Path:
        """Where the certificate of an ARN is, or would be."""
        return self._directory / f"{hashlib.sha256(arn.encode()).hexdigest()[:32]}.pem"

    def issue(self, arn: str, names: list[str]) -> None:
        """Write a certificate for ``names``, with its key, to ``issued(arn)``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        certificate = self._sign(
            subject,
            key.public_key(),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        )
        path = self.issued(arn)
        path.touch(mode=0o600)
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *extensions: tuple[x509.ExtensionType, bool]
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


class _Users:
    """Which load balancers use a certificate: those that did within the last ``IN_USE_SECONDS``."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str], float] = {}  # certificate ARN, load balancer ARN -> monotonic time

    def note(self, certificate: str, load_balancer: str) -> None:
        self._noted[certificate, load_balancer] = time.monotonic()

    def of(self, certificate: str) -> list[str]:
        since = time.monotonic() - IN_USE_SECONDS
        return [user for (used, user), at in self._noted.copy().items() if used == certificate and at > since]

    def clear(self) -> None:
        self._noted.clear()


class _Certificates:
    def __init__(self, extension: Extension, authority: Authority, users: _Users) -> None:
        self._extension = extension
        self._authority = authority
        self._users = users

    def look(self, request: Request) -> Response | None:
        """Who uses a certificate, and that it is then not deleted: MiniStack's ACM knows of no load balancer."""
        arn = str(request.parameters.get("CertificateArn", ""))
        if request.action == "DeleteCertificate":
            self._refuse_one_in_use(arn)
        if request.action != "DescribeCertificate":
            return None
        answer = request.forward()
        body = json.loads(answer[2])
        if "Certificate" in body:
            body["Certificate"]["InUseBy"] += self._users.of(arn)
            return json_response(body)
        return answer

    def create(self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        names = [properties["DomainName"], *properties.get("SubjectAlternativeNames", ())]
        for option in properties.get("DomainValidationOptions", ()):
            if option.get("HostedZoneId"):
                self._write_record(option["HostedZoneId"], option["DomainName"])
        arn, attributes = original(logical_id, properties, stack_name)
        self._authority.issue(arn, names)
        return arn, attributes

    def delete(self, original: DeleteHandler, physical_id: str, properties: Properties) -> None:
        self._refuse_one_in_use(physical_id)
        self._authority.issued(physical_id).unlink(missing_ok=True)
        original(physical_id, properties)

    def _refuse_one_in_use(self, arn: str) -> None:
        if self._users.of(arn):
            account, _ = self._extension.scope()
            raise ServiceError("ResourceInUseException", f"Certificate {arn} in account {account} is in use.")

    def _write_record(self, zone_id: str, domain: str) -> None:
        token = hashlib.sha256(domain.encode()).hexdigest()[:32]
        record: dict[str, Any] = {
            "Name": f"_{token}.{domain}.",
            "Type": "CNAME",
            "TTL": RECORD_TTL_SECONDS,
            "ResourceRecords": [{"Value": f"_{token[::-1]}.acm-validations.aws."}],
        }
        self._extension.client("route53").change_resource_record_sets(
            HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
        )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_AUTHORITIES: WeakKeyDictionary[Extension, Authority] = WeakKeyDictionary()
_USERS: WeakKeyDictionary[Extension, _Users] = WeakKeyDictionary()
