"""One deployment as the engine finds it: contracts from SSM, passwords from Secrets Manager, adapters on demand."""

import json
from collections.abc import Mapping
from typing import TypeVar

from botocore.exceptions import ClientError

from pm_core.contracts import (
    ComputeContract,
    Contract,
    ContractError,
    DataContract,
    ObservabilityContract,
    ReplicationContract,
    TrafficContract,
    ZoneContract,
    parameter_prefix,
)
from pm_cutover.aws.alarms import CloudWatch
from pm_cutover.aws.replication import DmsReplication
from pm_cutover.aws.services import Service
from pm_cutover.aws.session import AwsSession, error_code
from pm_cutover.aws.stacks import Stack, deployed_stacks
from pm_cutover.aws.traffic import Traffic
from pm_cutover.database import Database, Environment
from pm_cutover.errors import RefusedError, UsageError

C = TypeVar("C", bound=Contract)
ENVIRONMENTS: tuple[Environment, Environment] = ("source", "target")


class Deployment:
    """The two environments of one suffix.

    Args:
        aws: Account and region.
        suffix: The environment suffix.

    Raises:
        UsageError: Nothing is published under this suffix; the message lists the suffixes that are.
    """

    def __init__(self, *, aws: AwsSession, suffix: str) -> None:
        self.aws = aws
        self.suffix = suffix
        self._parameters = _published(aws, parameter_prefix(suffix))
        self._databases: dict[Environment, Database] = {}
        if not self._parameters:
            others = sorted({name.split("/")[2] for name in _published(aws, "/pm/")})
            known = f"deployed here: {', '.join(others)}" if others else "no deployment is here"
            raise UsageError(
                f"no deployment with suffix {suffix!r} in {aws.region} ({known}): "
                "give another --suffix, or deploy the stacks first"
            )

    def contract(self, kind: type[C], environment: Environment) -> C:
        """What a tier published.

        Raises:
            RefusedError: Something of it is missing; the message names the stack to deploy.
        """
        try:
            return kind.parse(self._parameters, suffix=self.suffix, environment=environment)
        except ContractError as error:
            raise RefusedError(str(error)) from error

    def stacks(self) -> tuple[Stack, ...]:
        """Every stack of the deployment, in its own region and in those of the audit replicas."""
        regions = {self.aws.region}
        for environment in ENVIRONMENTS:
            path = DataContract.path(self.suffix, environment, "replica_region")
            regions.add(self._parameters.get(path, self.aws.region))
        return deployed_stacks(self.aws, suffix=self.suffix, regions=regions, parameters=self._parameters)

    def database(self, environment: Environment) -> Database:
        """How to log in to one database as the engine.

        Raises:
            RefusedError: Its stack is not deployed, or its secret is unusable.
        """
        if environment not in self._databases:
            data = self.contract(DataContract, environment)
            secret = _secret(self.aws, data.cutover_secret_arn)
            try:
                self._databases[environment] = Database(
                    name=environment,
                    host=str(secret["host"]),
                    port=int(str(secret["port"])),
                    dbname=str(secret["dbname"]),
                    user=str(secret["username"]),
                    password=str(secret["password"]),
                    ssl_mode=data.ssl_mode,
                )
            except (KeyError, ValueError) as error:
                raise RefusedError(
                    f"secret {data.cutover_secret_arn} lacks a usable {error}: "
                    "it must hold host, port, dbname, username, password; deploy the data stack again"
                ) from None
        return self._databases[environment]

    def replication(self) -> DmsReplication:
        """The DMS tasks."""
        return DmsReplication(aws=self.aws, contract=self.contract(ReplicationContract, "target"))

    def replication_instance_identifier(self) -> str:
        """The DMS instance's name, which its metrics carry."""
        arn = self.contract(ReplicationContract, "target").instance_arn
        instances = self.aws.client("dms").describe_replication_instances(
            Filters=[{"Name": "replication-instance-arn", "Values": [arn]}]
        )["ReplicationInstances"]
        return str(instances[0]["ReplicationInstanceIdentifier"])

    def traffic(self) -> Traffic:
        """The weighted records."""
        return Traffic(
            aws=self.aws,
            suffix=self.suffix,
            zone=self.contract(ZoneContract, "source"),
            source=self.contract(TrafficContract, "source"),
            target=self.contract(TrafficContract, "target"),
        )

    def service(self, environment: Environment) -> Service:
        """One environment's payment service."""
        return Service(aws=self.aws, compute=self.contract(ComputeContract, environment))

    def cloudwatch(self) -> CloudWatch:
        """Alarms and metrics."""
        return CloudWatch(aws=self.aws)

    def alarm_names(self) -> tuple[str, ...]:
        """Names of both environments' lag alarms, and of the alarms that stand for all others."""
        contracts = [self.contract(ObservabilityContract, environment) for environment in ENVIRONMENTS]
        lag = (name.strip() for contract in contracts for name in contract.lag_alarm_names.split(","))
        return (*filter(None, lag), *(contract.unsafe_alarm_name for contract in contracts))


def _published(aws: AwsSession, prefix: str) -> dict[str, str]:
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix, Recursive=True)
    return {entry["Name"]: entry["Value"] for page in pages for entry in page["Parameters"]}


def _secret(aws: AwsSession, arn: str) -> Mapping[str, object]:
    try:
        text = aws.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    except ClientError as error:
        raise RefusedError(
            f"secret {arn} cannot be read ({error_code(error)}): check that the data stack is deployed "
            "and that the caller may read the secret and decrypt with its key"
        ) from error
    try:
        secret = json.loads(text)
    except ValueError:
        raise RefusedError(f"secret {arn} is not JSON: deploy the data stack again") from None
    if not isinstance(secret, dict):
        raise RefusedError(f"secret {arn} is not a JSON object: deploy the data stack again")
    return secret
