"""The settings of one deployment: read once, in the apps; wrong input is refused before any construct exists."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

Environment = Literal["source", "target"]
MigrationPhase = Literal["prepare", "replicate", "shift", "cutover", "complete"]
SslMode = Literal["disable", "require", "verify-ca", "verify-full"]

# The tightest name is `load-balancer-source-<suffix>`: 21 characters before the suffix, 32 allowed.
SUFFIX_MAX_LENGTH = 11
_RESERVED_DOMAINS = ("example.com", "example.net", "example.org", "example")
_PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".lan", ".home.arpa")
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
        database_instance_class: RDS class, for example ``r5.large``.
        database_storage_gib: Allocated storage.
        database_engine_version: PostgreSQL version, pinned.
        database_backup_days: Retention of automated backups, 1-35.
        database_ssl_mode: How every client connects; ``verify-full`` on AWS.
        replication_instance_class: DMS class.
        replication_engine_version: DMS version, pinned.
        replication_multi_az: Whether the replication instance has a standby.
        replication_roles: Whether this deployment creates the account-wide roles dms-vpc-role and
            dms-cloudwatch-logs-role; false where the account has them already.
        replication_reload: Whether an update may replace a replication task, which loads everything anew; otherwise
            such an update is refused.
        replication_certificate_arn: The RDS authorities' certificate as imported into DMS, with which DMS verifies
            both servers; None lets it encrypt without verifying, the most that DMS does without one.
        slot_plugin: Output plugin of the slots that the engine makes; DMS reads test_decoding.
        tables: Replicated tables, ``schema.table``.
        cpu_architecture: Of the tasks, and so of the image.
        alarm_mail: Who gets the alarms by mail; None lets somebody subscribe later.
        image_tag: Tag of the payment service's image.
        log_retention_days: Retention of every log group.
        deregistration_delay_seconds: How long a load balancer drains a stopping task.
    """

    environment_suffix: str
    account: str | None = None
    region: str = "us-east-1"
    replica_region: str = "us-west-2"
    cost_center: Annotated[str, Field(min_length=1, max_length=64)] = "payments"
    migration_phase: MigrationPhase = "prepare"
    domain: str
    hosted_zone_id: str | None = None
    certificate_arn: Annotated[str, Field(pattern=r"^arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]+$")] | None = (
        None
    )
    record_label: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "pay"
    record_ttl_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    availability_zones: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = ("us-east-1a", "us-east-1b")
    source: EnvironmentSettings = EnvironmentSettings(cidr="10.10.0.0/16")
    target: EnvironmentSettings = EnvironmentSettings(cidr="10.20.0.0/16")
    database_instance_class: str = "r5.large"
    database_storage_gib: Annotated[int, Field(ge=20, le=65536)] = 100
    database_engine_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")] = "17.6"
    database_backup_days: Annotated[int, Field(ge=1, le=35)] = 14
    database_ssl_mode: SslMode = "verify-full"
    replication_instance_class: str = "dms.r5.large"
    replication_engine_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "3.6.1"
    replication_multi_az: bool = False
    replication_roles: bool = True
    replication_reload: bool = False
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
    image_tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")] = "1.0.0"
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30
    deregistration_delay_seconds: Annotated[int, Field(ge=0, le=25)] = 5

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
        strange = [zone for zone in self.availability_zones if not zone.startswith(self.region)]
        if strange or len(set(self.availability_zones)) != len(self.availability_zones):
            raise ValueError(
                f"availabilityZones {list(self.availability_zones)}: give different zones of {self.region}"
            )
        return self


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
