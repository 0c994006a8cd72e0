"""The function behind DefaultGroup; requests are checked against botocore's own model."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from pm_network.functions.default_group import close

GROUP = "sg-0123456789abcdef0"
INGRESS = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": GROUP}]}
EGRESS = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@pytest.fixture
def ec2() -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("ec2")


def group(ingress: list[Any], egress: list[Any]) -> dict[str, Any]:
    return {"SecurityGroups": [{"GroupId": GROUP, "IpPermissions": ingress, "IpPermissionsEgress": egress}]}


def test_rules_of_both_directions_are_revoked(ec2: Any) -> None:
    with Stubber(ec2) as stub:
        stub.add_response("describe_security_groups", group([INGRESS], [EGRESS]), {"GroupIds": [GROUP]})
        stub.add_response("revoke_security_group_ingress", {}, {"GroupId": GROUP, "IpPermissions": [INGRESS]})
        stub.add_response("revoke_security_group_egress", {}, {"GroupId": GROUP, "IpPermissions": [EGRESS]})
        assert close(ec2, GROUP) == 2
        stub.assert_no_pending_responses()


def test_a_closed_group_stays_closed(ec2: Any) -> None:
    with Stubber(ec2) as stub:
        stub.add_response("describe_security_groups", group([], []), {"GroupIds": [GROUP]})
        assert close(ec2, GROUP) == 0


def test_a_rule_that_somebody_else_revoked_is_fine_and_a_refusal_is_not(ec2: Any) -> None:
    with Stubber(ec2) as stub:
        stub.add_response("describe_security_groups", group([INGRESS], [EGRESS]), {"GroupIds": [GROUP]})
        stub.add_client_error("revoke_security_group_ingress", "InvalidPermission.NotFound")
        stub.add_client_error("revoke_security_group_egress", "UnauthorizedOperation")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            close(ec2, GROUP)
