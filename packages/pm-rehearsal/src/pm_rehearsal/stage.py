"""Both environments on an embedded AWS, and what drives them: the CDK CLI, the engine, the load."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pm_core import RegistryContract, Settings, TargetRegistryContract
from pm_core.cdk_cli import ProjectError
from pm_postgres import find_binaries
from pm_rehearsal.cdk import CdkCli
from pm_rehearsal.cloud import EmbeddedCloud
from pm_rehearsal.cloud.settings import OWN_NAMESPACE
from pm_rehearsal.deployment import Deployment, settings_of
from pm_rehearsal.engine import Engine
from pm_rehearsal.images import push
from pm_rehearsal.leftovers import inventory
from pm_rehearsal.load import Config
from pm_rehearsal.load.process import LoadProcess
from pm_rehearsal.seed import seed

ENVIRONMENTS = ("source", "target")
PAYMENTS_MODULE = "pm_payments"
ENGINE_MODULE = "pm_cutover"
REPOSITORIES = "repository-"  # how the names of both environments' image repositories begin
OPERATOR_REPOSITORIES = "repository-operator-"

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """Where and under which name.

    Attributes:
        project: Directory of cdk.json.
        directory: Where logs, templates, the clients' books and the evidence go; exists.
        suffix: The deployment's environmentSuffix.
        port: Of the AWS endpoint; 0 takes a free one.
        replication_latency_seconds: Added to replication, to rehearse a lag such as DMS's.
    """

    project: Path
    directory: Path
    suffix: str
    port: int = 0
    replication_latency_seconds: float = 0.0


class Stage:
    """An empty account when it is entered; leaving it ends every process, whatever was deployed.

    Raises:
        SettingsError: cdk.json's settings are wrong.
        CloudStartError: The embedded AWS did not start, for example because of an occupied port.
        PostgresMissingError: This platform has no PostgreSQL programs.

    Attributes:
        cloud: The embedded AWS.
        cdk: The CDK CLI, pointed at it.
        engine: `pm`, pointed at it.
        deployment: What is deployed.
        settings: What it is deployed with.
    """

    def __init__(self, options: StageOptions) -> None:
        self.options = options
        self._values = settings_of(options.project, suffix=options.suffix)
        self.settings = Settings.parse(self._values)
        self._programs = find_binaries().directory
        self._stack = ExitStack()
        self._before: set[str] = set()
        self.cloud = EmbeddedCloud(
            port=options.port,
            images={
                REPOSITORIES: [sys.executable, "-m", PAYMENTS_MODULE],
                OPERATOR_REPOSITORIES: [sys.executable, "-m", ENGINE_MODULE],
            },
            programs=self._programs,
            replication_latency_seconds=options.replication_latency_seconds,
        )

    def __enter__(self) -> Self:
        self._entered_at = datetime.now(UTC) - timedelta(minutes=1)
        self._stack.enter_context(self.cloud)
        directory = self.options.directory
        self.deployment = Deployment(cloud=self.cloud, suffix=self.options.suffix)
        self.cdk = CdkCli(
            project=self.options.project,
            assembly=directory / "cdk.out",
            environment=self.cloud.environment,
            log=directory / "cdk.log",
        )
        self.engine = Engine(
            suffix=self.options.suffix,
            environment={**self.cloud.environment, "PM_POSTGRES_BIN": str(self._programs)},
            log=directory / "pm.log",
            evidence=directory / "evidence.jsonl",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def _regions(self) -> tuple[str, ...]:
        return (self.settings.region, self.settings.replica_region)

    def synthesize(self) -> list[str]:
        """Make the templates of both apps; the stacks' ids."""
        return self.cdk.synth(self._values)

    def bootstrap(self) -> None:
        """Prepare the empty account; what it holds then is not a leftover later."""
        self.cdk.bootstrap(self.cloud.account, self._regions)
        self._before = inventory(self.cloud.client, regions=self._regions)

    def deploy_with(self, overrides: Mapping[str, Any], *stacks: str) -> None:
        """Make the templates anew with settings laid over the stage's own, and deploy some stacks of them."""
        self.cdk.synth({**self._values, **overrides})
        self.cdk.deploy(stacks)

    def deploy_registries(
        self, stacks: list[str], *, cdk: CdkCli | None = None, suffix: str = "", on_line: OnLine | None = None
    ) -> None:
        """Deploy the registries of ``stacks`` and push the images to them: of the service, and of the operator task.

        Args:
            stacks: Ids of all stacks.
            cdk: An assembly other than the stage's own, deployed beside it.
            suffix: That assembly's environmentSuffix.
            on_line: Gets what the CDK CLI prints.
        """
        (cdk or self.cdk).deploy([name for name in stacks if name.startswith("registry-")], on_line=on_line)
        self.push_images(suffix=suffix)

    def push_images(self, *, suffix: str = "") -> None:
        """Push the service's image to both registries; an image that is there already is left alone."""
        deployment = Deployment(cloud=self.cloud, suffix=suffix or self.options.suffix)
        parameters, ecr = deployment.parameters(), self.cloud.client("ecr")
        for environment in ENVIRONMENTS:
            registry = RegistryContract.parse(parameters, suffix=deployment.suffix, environment=environment)
            push(ecr, repository=registry.repository_name, tag=self.settings.image_tag)
        target = TargetRegistryContract.parse(parameters, suffix=deployment.suffix, environment="target")
        push(ecr, repository=target.operator_repository_name, tag=self.settings.operator_image_tag)

    def seed(self, *, payments: int) -> tuple[int, ...]:
        """Give the source the service's schema and a history; the customer accounts."""
        return seed(self.deployment.conninfo("source", "cutover"), schema=payments_schema(), payments=payments)

    def load(self, book: Path, *, rate: float, accounts: tuple[int, ...], seed: int, on_status: OnLine) -> LoadProcess:
        """Payments through the weighted name; enter it to start them.

        Args:
            book: The clients' own record, appended to.
            rate: Payments per second.
            accounts: Customer accounts to charge.
            seed: Of the random choices; different loads need different ones, keys are made from it.
            on_status: Gets a line of figures each half second.
        """
        host, _, port = self.cloud.dns.rpartition(":")
        config = Config(
            dns_host=host,
            dns_port=int(port),
            record_name=self.deployment.zone().record_name,
            rate=rate,
            accounts=accounts,
            book=book,
            authority=self.cloud.authority,
            seed=seed,
        )
        return LoadProcess(config=config, log=self.options.directory / "load.log", on_status=on_status)

    def how_to_look(self) -> str:
        """Shell lines for another terminal: the account, and a way into both databases; passwords stay in a file."""
        passwords = self.options.directory / "pgpass"
        entries, commands = [], []
        for environment in ENVIRONMENTS:
            login = self.deployment.conninfo(environment, "cutover")
            where = (login["host"], login["port"], login["dbname"], login["user"])
            entries.append(":".join(_escaped(str(field)) for field in (*where, login["password"])))
            psql = self._programs / "psql"
            commands.append(f"{psql} -h {where[0]} -p {where[1]} -d {where[2]} -U {where[3]}   # {environment}")
        passwords.touch(mode=0o600)
        passwords.write_text("\n".join(entries) + "\n")
        exports = {name: value for name, value in self.cloud.environment.items() if name.startswith("AWS_")}
        exports |= {"PM_SUFFIX": self.options.suffix, "PGPASSFILE": str(passwords)}
        return "\n".join(
            ["unset AWS_PROFILE", *(f"export {name}={value}" for name, value in exports.items()), *commands]
        )

    def retried_requests(self) -> int:
        """Requests that a load balancer sent to a second target connection; AWS would have answered them with 502."""
        cloudwatch = self.cloud.client("cloudwatch")
        total = 0.0
        for metric in cloudwatch.list_metrics(Namespace=OWN_NAMESPACE, MetricName="RetriedRequestCount")["Metrics"]:
            page = cloudwatch.get_metric_statistics(
                Namespace=OWN_NAMESPACE,
                MetricName="RetriedRequestCount",
                Dimensions=metric["Dimensions"],
                StartTime=self._entered_at,
                EndTime=datetime.now(UTC) + timedelta(minutes=1),
                Period=60,
                Statistics=["Sum"],
            )
            total += sum(point["Sum"] for point in page["Datapoints"])
        return int(total)

    def leftovers(self) -> tuple[str, ...]:
        """What the account holds that it did not hold after the bootstrap, ``<region> <kind> <id>``."""
        return tuple(sorted(inventory(self.cloud.client, regions=self._regions) - self._before))


def _escaped(field: str) -> str:
    """One field of a password file. Source: PostgreSQL documentation, "The Password File"."""
    return field.replace("\\", "\\\\").replace(":", "\\:")


def payments_schema() -> str:
    """The payment service's schema, from the installed service.

    Raises:
        ProjectError: The service is not installed in this environment.
    """
    spec = importlib.util.find_spec(PAYMENTS_MODULE)
    if spec is None or spec.origin is None:
        raise ProjectError(f"the payment service {PAYMENTS_MODULE} is not installed: run `uv sync` in the repository")
    return Path(spec.origin).with_name("schema.sql").read_text()
