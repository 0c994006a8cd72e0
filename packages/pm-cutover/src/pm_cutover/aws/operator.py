"""`pm` as a task: whether its image is there, how it starts, how it is, how it stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from pm_core.contracts import OperatorContract
from pm_cutover.aws.session import AwsSession, error_code
from pm_cutover.errors import RefusedError

_NO_IMAGE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})
_CONTAINERFILE = "packages/pm-cutover/Containerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorState:
    """A task as ECS describes it.

    Attributes:
        status: ECS's word, for example ``PENDING`` or ``RUNNING``.
        exit_code: Of the container, once it has ended; None when it never ran.
        reason: Why it stopped; may be empty.
    """

    status: str
    exit_code: int | None = None
    reason: str = ""

    @property
    def began(self) -> bool:
        """Whether `pm` surely runs or ran; one that stops may have run, too."""
        return self.status == "RUNNING" or self.exit_code is not None

    @property
    def ended(self) -> bool:
        """Whether nothing runs any more, or will."""
        return self.exit_code is not None or self.status == "STOPPED"


class OperatorTasks:
    """Runs `pm` as tasks, one at a time.

    Args:
        aws: Where.
        contract: How.
    """

    def __init__(self, *, aws: AwsSession, contract: OperatorContract) -> None:
        self._ecs, self._ecr = aws.client("ecs"), aws.client("ecr")
        self._contract = contract
        self._region = aws.region

    def check_image(self) -> None:
        """See that there is something to run: ECS would look for it for minutes.

        Raises:
            RefusedError: The image is not in ECR; the message says how to build and push it.
        """
        contract = self._contract
        try:
            found = self._ecr.describe_images(
                repositoryName=contract.repository_name, imageIds=[{"imageTag": contract.image_tag}]
            )["imageDetails"]
        except ClientError as error:
            if error_code(error) not in _NO_IMAGE:
                raise
            found = []
        if not found:
            image = f"{contract.repository_uri}:{contract.image_tag}"
            registry = contract.repository_uri.partition("/")[0]
            raise RefusedError(
                f"image {image} is not in ECR, so no task can run pm: in the repository run "
                f"`docker build -f {_CONTAINERFILE} -t {image} .`, `aws ecr get-login-password | docker login "
                f"--username AWS --password-stdin {registry}`, `docker push {image}`; or set operatorImageTag to one "
                "that is there and deploy the operator stack"
            )

    def start(self, arguments: Sequence[str], *, columns: int) -> str:
        """Start a task that runs ``pm <arguments>``.

        Args:
            arguments: The command line after `pm`.
            columns: How wide its tables may be.

        Returns:
            The task's ARN.

        Raises:
            RefusedError: ECS has no room for it.
        """
        contract = self._contract
        answer = self._ecs.run_task(
            cluster=contract.cluster_name,
            taskDefinition=contract.task_definition_arn,
            launchType="FARGATE",
            count=1,
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": list(contract.subnet_ids),
                    "securityGroups": [contract.security_group_id],
                    "assignPublicIp": "DISABLED",
                }
            },
            overrides={
                "containerOverrides": [
                    {
                        "name": contract.container_name,
                        "command": list(arguments),
                        "environment": [{"name": "COLUMNS", "value": str(columns)}],
                    }
                ]
            },
            enableExecuteCommand=False,
            propagateTags="TASK_DEFINITION",
            startedBy="pm-remote",
            clientToken=str(uuid4()),  # a request that is repeated after a timeout starts no second task
        )
        if not answer["tasks"]:
            reasons = "; ".join(failure.get("reason") or "no reason given" for failure in answer["failures"])
            raise RefusedError(
                f"ECS did not take the task ({reasons}): wait a minute and run again; if it stays, see the quota of "
                f"Fargate vCPUs in {self._region}, or give the network another availability zone"
            )
        return str(answer["tasks"][0]["taskArn"])

    def state(self, arn: str) -> OperatorState | None:
        """How a task is now; None when ECS does not know it.

        That says nothing about the task: ECS may not know it yet, not for a moment, or, an hour after its end, not any
        more.
        """
        answer = self._ecs.describe_tasks(cluster=self._contract.cluster_name, tasks=[arn])
        if not answer["tasks"]:
            return None
        task: dict[str, Any] = answer["tasks"][0]
        container: dict[str, Any] = next(
            (one for one in task["containers"] if one["name"] == self._contract.container_name), {}
        )
        reasons = (task.get("stoppedReason"), container.get("reason"))
        return OperatorState(
            status=task["lastStatus"],
            exit_code=container.get("exitCode"),
            reason="; ".join(dict.fromkeys(reason for reason in reasons if reason)),
        )

    def stop(self, arn: str) -> None:
        """Ask a task to stop: `pm` in it ends as on Ctrl-C."""
        self._ecs.stop_task(cluster=self._contract.cluster_name, task=arn, reason="Ctrl-C at pm --remote")
