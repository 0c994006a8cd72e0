"""The function behind DefaultGroup: takes every rule from a VPC's default security group."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from pm_core.custom_resources import LOG, Outcome, Request, answers

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 8, "mode": "standard"})
_GONE = {"InvalidPermission.NotFound"}


def close(client: Any, group_id: str) -> int:
    """Revoke every rule of a group; how many. A rule that is gone meanwhile is fine."""
    (group,) = client.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    revoked = 0
    for rules, revoke in (
        (group["IpPermissions"], client.revoke_security_group_ingress),
        (group["IpPermissionsEgress"], client.revoke_security_group_egress),
    ):
        for rule in rules:
            try:
                revoke(GroupId=group_id, IpPermissions=[rule])
            except ClientError as error:
                if error.response["Error"]["Code"] not in _GONE:
                    raise
            revoked += 1
    return revoked


def work(request: Request) -> Outcome:
    """One request of CloudFormation. Property: GroupId. The group goes with its VPC, so a Delete does nothing."""
    group_id = request.properties["GroupId"]
    if request.kind != "Delete":
        LOG.info("revoked %d rules of %s", close(boto3.client("ec2", config=_AWS), group_id), group_id)
    return Outcome(physical_id=f"closed:{group_id}")


handle = answers(work)
