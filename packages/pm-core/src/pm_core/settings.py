"""The settings of one deployment: read once, in the apps; wrong input is refused before any construct exists."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

Environment = Literal["source", "target"]
MigrationPhase = Literal["prepare", "replicate", "shift", "cutover", "complete"]
SslMode = Literal["disable", "require", "verify-ca", "verify-full"]
ImageTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]

# The tightest name is `load-balancer-source-<suffix>`: 21 characters before the suffix, 32 allowed.
SUFFIX_MAX_LENGTH = 11
# A name has 253 characters, 63 of them for the record's label and one for the dot between.
_DOMAIN_MAX_LENGTH = 189
# Source: ACM API reference, RequestCertificate; CloudFormation's own validation lets 253 pass.
_CERTIFIED_MAX_LENGTH = 64
_RESERVED_DOMAINS = ("example.com", "example.net", "example.org", "example")
_PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".lan", ".home.arpa")
# Room for a peak, and for the whole of the traffic while the other environment is down.
_PEAK_FACTOR = 4
_REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
# Source: AWS Billing user guide, "Tag restrictions"; CloudFormation refuses other characters after minutes.
_TAG_VALUE = r"^[A-Za-z0-9 _.:/=+@-]*$"
_TABLE = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")


class SettingsError(ValueError):
    """Settings are wrong; the message names each setting, what was found and what is allowed."""


class _Section(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, validate_default=True
    )


class EnvironmentSettings(_Section):
    """What differs between source and target.

    Attributes:
        cidr: The VPC's IPv4 range, /16 to /24.
        nat_gateways: How many NAT gateways the VPC has.
        multi_az: Whether the database has a standby in a second zone.
        desired_count: Tasks of the payment service, at least 1.
    """

    cidr: str
    nat_gateways: Annotated[int, Field(ge=1, le=3)] = 1
    multi_az: bool = True
    desired_count: Annotated[int, Field(ge=1, le=100)] = 2

    @property
    def max_count(self) -> int:
        """Tasks of the payment service at a peak."""
        return self.desired_count * _PEAK_FACTOR

    @field_validator("cidr")
    @classmethod
    def _network(cls, value: str) -> str:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is not an IPv4 network ({error}): give one such as 10.0.0.0/16") from error
        if not 16 <= network.prefixlen <= 24:
            raise ValueError(f"{value} is a /{network.prefixlen}: a VPC takes /16 to /24")
        return value


class Settings(_Section):
    """One deployment of both environments.

    Read with :meth:`parse` from the CDK context key ``settings`` or any mapping; keys are camelCase.

    Attributes:
        environment_suffix: In every name; 2-11 lower-case letters and digits, a letter first.
        account: Twelve digits, or None for the account of the caller's credentials.
        region: Where both environments live.
        replica_region: Where the audit replica lives; another one.
        cost_center: Value of the CostCenter tag.
        migration_phase: Value of the MigrationPhase tag.
        domain: The public zone under which ``record_label`` is served.
        hosted_zone_id: An existing zone to use; None makes one.
        certificate_arn: An existing certificate for the payment service's name; None requests one, which is issued once
            the zone is delegated.
        record_label: First label of the payment service's name.
        record_ttl_seconds: TTL of the weighted records, 1-60.
        availability_zones: Zones of both VPCs, two or three of ``region``.
        source: The source environment.
        target: The target environment; its CIDR must not overlap the source's.
        database_instance_class: RDS class without ``db.``, for example ``r5.large``.
        database_storage_gib: Allocated storage.
        database_engine_version: PostgreSQL version, pinned.
        database_backup_days: Retention of automated backups, 1-35.
        database_max_connections: How many sessions each database takes, 100-5000; an alarm rings at four fifths.
        database_ssl_mode: How every client connects; ``verify-full`` on AWS. ``disable`` is for servers without TLS, as
            in a rehearsal, and refused when an account is given.
        replication_instance_class: DMS class, for example ``dms.r5.large``.
        replication_storage_gib: For the logs of DMS and the changes that wait on its disk.
        replication_engine_version: DMS version, pinned.
        replication_multi_az: Whether the replication instance has a standby.
        replication_roles: Whether this deployment creates the account-wide roles dms-vpc-role and
            dms-cloudwatch-logs-role; false where the account has them already.
        replication_validation: Whether DMS compares each replicated row with its source.
        replication_certificate_arn: The RDS authorities' certificate as imported into DMS, with which DMS verifies
            both servers; None lets it encrypt without verifying, the most that DMS does without one.
        slot_plugin: Output plugin of the slots that the engine makes; DMS reads test_decoding.
        tables: Replicated tables, ``schema.table``.
        cpu_architecture: Of the tasks, and so of the image.
        alarm_mail: Who gets the alarms by mail; None lets somebody subscribe later.
        runbook_url: Where your operators read docs/runbook.md; alarms and dashboards link its sections. None names the
            file.
        image_tag: Tag of the payment service's image.
        operator_image_tag: Tag of the image with `pm` that runs inside the target's network.
        log_retention_days: Retention of every log group.
        deregistration_delay_seconds: How long a load balancer drains a stopping task.
    """

    environment_suffix: str
    account: str | None = None
    region: Annotated[str, Field(pattern=_REGION)] = "us-east-1"
    replica_region: Annotated[str, Field(pattern=_REGION)] = "us-west-2"
    cost_center: Annotated[str, Field(min_length=1, max_length=64, pattern=_TAG_VALUE)] = "payments"
    migration_phase: MigrationPhase = "prepare"
    domain: str
    hosted_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]{1,31}$")] | None = None
    certificate_arn: Annotated[str, Field(pattern=r"^arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]+$")] | None = (
        None
    )
    record_label: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "pay"
    record_ttl_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    availability_zones: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = ("us-east-1a", "us-east-1b")
    source: EnvironmentSettings = EnvironmentSettings(cidr="10.10.0.0/16")
    target: EnvironmentSettings = EnvironmentSettings(cidr="10.20.0.0/16")
    database_instance_class: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*\.[a-z0-9]+$")] = "r5.large"
    database_storage_gib: Annotated[int, Field(ge=20, le=65536)] = 100
    database_engine_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")] = "17.9"
    database_backup_days: Annotated[int, Field(ge=1, le=35)] = 14
    # Fewer than RDS's own default for r5.large: every session may need some megabytes of the instance's memory.
    database_max_connections: Annotated[int, Field(ge=100, le=5000)] = 1000
    database_ssl_mode: SslMode = "verify-full"
    replication_instance_class: Annotated[str, Field(pattern=r"^dms\.[a-z][a-z0-9]*\.[a-z0-9]+$")] = "dms.r5.large"
    replication_storage_gib: Annotated[int, Field(ge=20, le=6144)] = 50
    replication_engine_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "3.6.1"
    replication_multi_az: bool = False
    replication_roles: bool = True
    replication_validation: bool = True
    replication_certificate_arn: (
        Annotated[str, Field(pattern=r"^arn:aws:dms:[a-z0-9-]+:\d{12}:cert:[A-Za-z0-9-]+$")] | None
    ) = None
    slot_plugin: Literal["test_decoding", "pgoutput"] = "test_decoding"
    tables: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "public.accounts",
        "public.payments",
        "public.refunds",
        "public.ledger_entries",
    )
    cpu_architecture: Literal["X86_64", "ARM64"] = "X86_64"
    alarm_mail: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    runbook_url: Annotated[str, Field(pattern=r"^https://[^\s#]+$")] | None = None
    image_tag: ImageTag = "1.0.0"
    operator_image_tag: ImageTag = "1.0.0"
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30
    # Longer than the 8 s for which the service holds a request while the writer moves.
    deregistration_delay_seconds: Annotated[int, Field(ge=0, le=25)] = 10

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Settings from camelCase keys.

        Raises:
            SettingsError: One line per wrong setting: where, what was found, what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(detail) for detail in error.errors())) from None

    @classmethod
    def read(cls, settings: Any, overrides: Any = None) -> Self:
        """Settings as the CDK's context holds them: objects, or their JSON text.

        Args:
            settings: Context key ``settings``.
            overrides: Context key ``overrides``, laid over them; objects in both, such as ``source``, are joined.

        Raises:
            SettingsError: They are missing, no object, or wrong.
        """
        return cls.parse(laid_over(_object("settings", settings), _object("overrides", overrides or {})))

    def environment(self, name: Environment) -> EnvironmentSettings:
        """The settings of one environment."""
        return self.source if name == "source" else self.target

    @property
    def record_name(self) -> str:
        """The payment service's public name, without a trailing dot."""
        return f"{self.record_label}.{self.domain}"

    @field_validator("environment_suffix")
    @classmethod
    def _suffix(cls, value: str) -> str:
        if not re.fullmatch(rf"[a-z][a-z0-9]{{1,{SUFFIX_MAX_LENGTH - 1}}}", value):
            raise ValueError(f"{value!r}: use 2 to {SUFFIX_MAX_LENGTH} lower-case letters and digits, a letter first")
        return value

    @field_validator("account")
    @classmethod
    def _account(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d{12}", value):
            raise ValueError(f"{value!r} is not an AWS account id: twelve digits")
        return value

    @field_validator("domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        if not re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", value):
            raise ValueError(f"{value!r} is not a domain name in lower case without a trailing dot")
        if len(value) > _DOMAIN_MAX_LENGTH:
            raise ValueError(f"{value!r} has {len(value)} characters: a zone has {_DOMAIN_MAX_LENGTH} at most")
        if value in _RESERVED_DOMAINS or value.endswith(tuple(f".{reserved}" for reserved in _RESERVED_DOMAINS)):
            raise ValueError(f"{value!r} is reserved for documentation: give a domain that you own")
        return value

    @field_validator("tables")
    @classmethod
    def _tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [table for table in value if not _TABLE.fullmatch(table)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: write each table as schema.table, no wildcards")
        if len(set(value)) != len(value):
            raise ValueError("a table is listed twice")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.replica_region == self.region:
            raise ValueError(f"replicaRegion {self.replica_region!r} must differ from region {self.region!r}")
        if ipaddress.ip_network(self.source.cidr).overlaps(ipaddress.ip_network(self.target.cidr)):
            raise ValueError(
                f"source.cidr {self.source.cidr} and target.cidr {self.target.cidr} overlap: "
                "the two networks are peered and need disjoint ranges"
            )
        if self.account is not None and self.domain.endswith(_PRIVATE_DOMAINS):
            raise ValueError(f"domain {self.domain!r} cannot be delegated to a public zone: give one that you own")
        if self.account is not None and self.database_ssl_mode == "disable":
            raise ValueError(
                f"databaseSslMode 'disable' is refused for account {self.account}: every client of a deployed database "
                "connects with TLS; use verify-full, or leave account out to rehearse without TLS"
            )
        if self.certificate_arn is None and len(self.record_name) > _CERTIFIED_MAX_LENGTH:
            raise ValueError(
                f"recordLabel and domain make {self.record_name!r}, {len(self.record_name)} characters: ACM issues "
                f"certificates for {_CERTIFIED_MAX_LENGTH} at most; use shorter ones, or bring your own: certificateArn"
            )
        strange = [zone for zone in self.availability_zones if not re.fullmatch(f"{self.region}[a-z]", zone)]
        if strange or len(set(self.availability_zones)) != len(self.availability_zones):
            raise ValueError(
                f"availabilityZones {list(self.availability_zones)}: give different zones of {self.region}"
            )
        return self


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two objects of settings as one: ``above`` wins; objects in both are joined."""
    joined = {
        key: laid_over(below[key], value)
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        else value
        for key, value in above.items()
    }
    return dict(below) | joined


def _object(key: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{key}: {value!r} is no JSON ({error}): give an object of settings") from None
    if not isinstance(value, Mapping):
        raise SettingsError(f"{key}: found {value!r}: give an object of settings, as in cdk.json's context")
    return value


def _explain(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "no such setting"
    elif detail["type"] == "missing":
        message = "is required"
    elif not message.startswith(repr(detail["input"])) and isinstance(detail["input"], str | int | float):
        message = f"{detail['input']!r}: {message}"
    return f"settings{'.' if where else ''}{where}: {message}"
