"""The two roles that DMS expects under fixed names, once per account."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from pm_core.cdk import acknowledge


class DmsServiceRoles(Construct):
    """``dms-vpc-role`` and ``dms-cloudwatch-logs-role``.

    DMS looks for exactly these names, so they carry no suffix and only one deployment of an account may own them.
    The subnet group and the replication instance must depend on this construct.

    Source: AWS DMS user guide, "Creating the IAM roles to use with AWS DMS".
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.vpc_role = self._role("VpcRole", "dms-vpc-role", "AmazonDMSVPCManagementRole")
        self.logs_role = self._role("LogsRole", "dms-cloudwatch-logs-role", "AmazonDMSCloudWatchLogsRole")

    def _role(self, construct_id: str, name: str, policy: str) -> iam.Role:
        role = iam.Role(
            self,
            construct_id,
            role_name=name,
            assumed_by=iam.ServicePrincipal("dms.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(f"service-role/{policy}")],
        )
        acknowledge(
            role,
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/{policy}]",
            reason=f"DMS requires a role {name} with exactly this policy, which AWS maintains with the service.",
        )
        return role
