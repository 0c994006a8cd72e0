"""What one tier tells the others, through SSM parameters: declared once, so that writer and reader cannot disagree.

A contract is a frozen dataclass; each field is one String parameter
``/pm/<suffix>/<environment>/<tier>/<field-with-dashes>``, each element of a tuple field one parameter below that.
CDK code uses :func:`pm_core.cdk.publish` and :func:`pm_core.cdk.read`; the engine uses :meth:`Contract.parse`.

Beside its fields a contract publishes its version, ``…/<tier>/contract-version``: tiers are deployed from different
releases, and a reader must notice a contract that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from pm_core.names import stack_name


class ContractError(LookupError):
    """A parameter of a contract is missing, or of another version; the message names the stack to deploy first."""


NEEDS_KEY = "pm:needs"
"""Key of a template's metadata under which a stack lists the ids of the stacks that must be deployed before it."""


def reads_key(environment: str, tier: str) -> str:
    """Key of a template's metadata under which a stack says which version of another tier's contract it understands."""
    return f"pm:reads:{environment}/{tier}"


def version_problem(published: int, understood: int, *, producer: str, reader: str) -> str:
    """Why a reader must not go on with a contract, and what to deploy; empty when the versions are the same.

    Args:
        published: The version that the producer's stack published.
        understood: The version that the reader was written for.
        producer: Name of the stack that publishes.
        reader: Who reads: a stack's name, or a program.
    """
    if published > understood:
        return (
            f"{producer} publishes version {published} of its contract, newer than version {understood}, which "
            f"{reader} understands: use a newer release of {reader}, or roll {producer} back first"
        )
    if published < understood:
        return (
            f"{producer} publishes version {published} of its contract, {reader} needs version {understood}: "
            f"deploy a newer release of {producer} first"
        )
    return ""


def parameter_prefix(suffix: str) -> str:
    """The path below which one deployment publishes."""
    return f"/pm/{suffix}/"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Base of all contracts.

    Attributes:
        tier: The tier that publishes it.
        version: Raised by one when readers of the version before would go wrong: a field went away, or means something
            else. A new field raises nothing. ``contracts.json`` holds what the last release published.
    """

    tier: ClassVar[str]
    version: ClassVar[int] = 1

    @classmethod
    def path(cls, suffix: str, environment: str, field: str, index: int | None = None) -> str:
        """The parameter of one field, or of one element (counted from 1) of a tuple field."""
        path = f"{parameter_prefix(suffix)}{environment}/{cls.tier}/{field.replace('_', '-')}"
        return path if index is None else f"{path}/{index}"

    @classmethod
    def is_list(cls, field: str) -> bool:
        """Whether a field is a tuple, published element by element."""
        return "tuple" in str(cls.__dataclass_fields__[field].type)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The fields in order of declaration."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def version_path(cls, suffix: str, environment: str) -> str:
        """The parameter that holds the contract's version."""
        return cls.path(suffix, environment, "contract_version")

    def parameters(self, suffix: str, environment: str) -> Iterator[tuple[str, str]]:
        """Every parameter as (path, value), the version first."""
        yield self.version_path(suffix, environment), str(self.version)
        for name in self.field_names():
            value = getattr(self, name)
            if self.is_list(name):
                for index, element in enumerate(value, start=1):
                    yield self.path(suffix, environment, name, index), element
            else:
                yield self.path(suffix, environment, name), value

    @classmethod
    def parse(cls, parameters: Mapping[str, str], *, suffix: str, environment: str) -> Self:
        """The contract from a mapping of parameter paths to values, as SSM returns them.

        Raises:
            ContractError: A parameter is missing, or the contract has another version.
        """
        cls._check_version(parameters, suffix, environment)
        values: dict[str, str | tuple[str, ...]] = {}
        for name in cls.field_names():
            path = cls.path(suffix, environment, name)
            if cls.is_list(name):
                elements: list[str] = []
                while (element := parameters.get(f"{path}/{len(elements) + 1}")) is not None:
                    elements.append(element)
                if not elements:
                    raise cls._missing(f"{path}/1", suffix, environment)
                values[name] = tuple(elements)
            elif path in parameters:
                values[name] = parameters[path]
            else:
                raise cls._missing(path, suffix, environment)
        return cls(**values)

    @classmethod
    def _check_version(cls, parameters: Mapping[str, str], suffix: str, environment: str) -> None:
        path = cls.version_path(suffix, environment)
        if path not in parameters:
            raise cls._missing(path, suffix, environment)
        producer = stack_name(cls.tier, environment, suffix)
        if problem := version_problem(int(parameters[path]), cls.version, producer=producer, reader="this program"):
            raise ContractError(problem)

    @classmethod
    def _missing(cls, path: str, suffix: str, environment: str) -> ContractError:
        return ContractError(
            f"SSM parameter {path} not found: deploy {stack_name(cls.tier, environment, suffix)} first"
        )


@dataclass(frozen=True, kw_only=True)
class NetworkContract(Contract):
    """Published by each environment's network stack. Subnets are in the order of ``availability_zones``."""

    tier: ClassVar[str] = "network"
    vpc_id: str
    vpc_cidr: str
    availability_zones: tuple[str, ...]
    public_subnet_ids: tuple[str, ...]
    private_subnet_ids: tuple[str, ...]
    isolated_subnet_ids: tuple[str, ...]
    private_route_table_ids: tuple[str, ...]
    isolated_route_table_ids: tuple[str, ...]
    database_security_group_id: str
    service_security_group_id: str
    load_balancer_security_group_id: str
    replication_security_group_id: str
    function_security_group_id: str
    operator_security_group_id: str


@dataclass(frozen=True, kw_only=True)
class DataContract(Contract):
    """Published by each environment's data stack. Secrets by ARN, never by value.

    Each secret is a JSON object with engine, host, port, dbname, username and password.
    """

    tier: ClassVar[str] = "data"
    instance_id: str
    endpoint: str
    port: str
    database_name: str
    ssl_mode: str
    key_arn: str
    log_bucket: str
    replica_bucket: str
    replica_region: str
    master_secret_arn: str
    app_secret_arn: str
    dms_secret_arn: str
    cutover_secret_arn: str
    status_secret_arn: str


@dataclass(frozen=True, kw_only=True)
class RegistryContract(Contract):
    """Published by each environment's registry stack: where the payment service's images are."""

    tier: ClassVar[str] = "registry"
    repository_name: str
    repository_uri: str


@dataclass(frozen=True, kw_only=True)
class TargetRegistryContract(RegistryContract):
    """Published by the target's registry stack: it also keeps the images of the operator task."""

    operator_repository_name: str
    operator_repository_uri: str


@dataclass(frozen=True, kw_only=True)
class ZoneContract(Contract):
    """Published by the zone stack, under the source environment.

    ``weight_source`` and ``weight_target`` (0-100) are run-time state: `pm shift` writes them, the records read them.
    """

    tier: ClassVar[str] = "zone"
    hosted_zone_id: str
    zone_name: str
    record_name: str
    weight_source: str
    weight_target: str


@dataclass(frozen=True, kw_only=True)
class CertificateContract(Contract):
    """Published by the certificate stack, under the source environment; both load balancers serve it."""

    tier: ClassVar[str] = "certificate"
    certificate_arn: str


@dataclass(frozen=True, kw_only=True)
class ComputeContract(Contract):
    """Published by each environment's compute stack."""

    tier: ClassVar[str] = "compute"
    load_balancer_dns_name: str
    load_balancer_zone_id: str
    load_balancer_full_name: str
    cluster_name: str
    service_name: str
    target_group_arn: str


@dataclass(frozen=True, kw_only=True)
class TrafficContract(Contract):
    """Published by each environment's traffic stack."""

    tier: ClassVar[str] = "traffic"
    record_name: str
    set_identifier: str
    health_check_id: str


@dataclass(frozen=True, kw_only=True)
class ReplicationContract(Contract):
    """Published by the replication stack, under the target environment.

    Endpoints are named by the database and what DMS does there: the loader and the readers read, the writers apply.
    """

    tier: ClassVar[str] = "replication"
    instance_arn: str
    source_loader_endpoint_arn: str
    source_reader_endpoint_arn: str
    source_writer_endpoint_arn: str
    target_reader_endpoint_arn: str
    target_writer_endpoint_arn: str
    load_task_arn: str
    forward_task_arn: str
    reverse_task_arn: str
    slot_plugin: str
    peering_connection_id: str


@dataclass(frozen=True, kw_only=True)
class ObservabilityContract(Contract):
    """Published by each environment's observability stack. Alarm names are comma separated.

    ``unsafe_alarm_name`` is the composite alarm that goes off while a shift or a cutover would be unsafe.
    ``migration_dashboard_name`` is ``-`` where there is none: in the source, and once the migration is complete.
    """

    tier: ClassVar[str] = "observability"
    dashboard_name: str
    migration_dashboard_name: str
    topic_arn: str
    lag_alarm_names: str
    unsafe_alarm_name: str


@dataclass(frozen=True, kw_only=True)
class OperatorContract(Contract):
    """Published by the operator stack, under the target environment: how to run `pm` as a task inside its network.

    A container's log stream is ``<log_stream_prefix>/<container_name>/<task id>``.
    """

    tier: ClassVar[str] = "operator"
    cluster_name: str
    task_definition_arn: str
    container_name: str
    subnet_ids: tuple[str, ...]
    security_group_id: str
    log_group_name: str
    log_stream_prefix: str
    repository_name: str
    repository_uri: str
    image_tag: str


CONTRACTS: tuple[type[Contract], ...] = (
    NetworkContract,
    DataContract,
    RegistryContract,
    TargetRegistryContract,
    ZoneContract,
    CertificateContract,
    ComputeContract,
    TrafficContract,
    ReplicationContract,
    ObservabilityContract,
    OperatorContract,
)
