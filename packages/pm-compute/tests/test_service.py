from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from pm_compute import Candidate, PaymentService, PaymentServiceProps, PropsError

SOURCE = Candidate(
    name="source",
    secret_arn="arn:aws:secretsmanager:us-east-1:111122223333:secret:source-Abc",
    key_arn="arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000001",
)
TARGET = Candidate(
    name="target",
    secret_arn="arn:aws:secretsmanager:us-east-1:111122223333:secret:target-Abc",
    key_arn="arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000002",
)
REPOSITORY_ARN = "arn:aws:ecr:us-east-1:111122223333:repository/payments"
CERTIFICATE_ARN = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000003"
PUBLIC = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
PRIVATE = ["subnet-0123456789abcdef2", "subnet-0123456789abcdef3"]


@pytest.fixture(scope="module")
def props(stack: cdk.Stack) -> PaymentServiceProps:
    return PaymentServiceProps(
        environment="source",
        suffix="dev1",
        vpc=ec2.Vpc.from_vpc_attributes(
            stack,
            "Vpc",
            vpc_id="vpc-0123456789abcdef0",
            availability_zones=["us-east-1a", "us-east-1b"],
            public_subnet_ids=PUBLIC,
            private_subnet_ids=PRIVATE,
        ),
        service_security_group=ec2.SecurityGroup.from_security_group_id(stack, "Service", "sg-0123456789abcdef0"),
        load_balancer_security_group=ec2.SecurityGroup.from_security_group_id(
            stack, "LoadBalancer", "sg-0123456789abcdef1", mutable=False
        ),
        repository_name="payments",
        repository_arn=REPOSITORY_ARN,
        repository_uri="111122223333.dkr.ecr.us-east-1.amazonaws.com/payments",
        image_tag="1.2.3",
        certificate_arn=CERTIFICATE_ARN,
        candidates=(SOURCE, TARGET),
        ssl_mode="verify-full",
        desired_count=2,
        max_count=8,
        deregistration_delay_seconds=5,
        log_retention_days=30,
    )


@pytest.fixture(scope="module")
def template(stack: cdk.Stack, props: PaymentServiceProps) -> Template:
    PaymentService(stack, "Payments", props=props)
    return Template.from_stack(stack)


def only(template: Template, resource_type: str) -> dict[str, Any]:
    (resource,) = template.find_resources(resource_type).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def attributes(properties: dict[str, Any], key: str) -> dict[str, str]:
    return {attribute["Key"]: attribute["Value"] for attribute in properties[key]}


def statements(template: Template, role_name: str) -> dict[str, dict[str, Any]]:
    (role,) = template.find_resources("AWS::IAM::Role", {"Properties": {"RoleName": role_name}})
    return {
        statement["Sid"]: statement
        for policy in template.find_resources("AWS::IAM::ManagedPolicy").values()
        if policy["Properties"]["Roles"] == [{"Ref": role}]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }


def test_container_gets_its_environment_and_no_secret_value(template: Template) -> None:
    (container,) = only(template, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert {variable["Name"]: variable["Value"] for variable in container["Environment"]} == {
        "PM_ENVIRONMENT": "source",
        "PM_CANDIDATES": f"source={SOURCE.secret_arn},target={TARGET.secret_arn}",
        "PM_SSL_MODE": "verify-full",
        "PORT": "8080",
    }
    assert "Secrets" not in container
    assert container["Image"].endswith("/payments:1.2.3")


def test_container_is_confined_and_has_time_to_finish(template: Template) -> None:
    (container,) = only(template, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"].split(":")[0] not in ("", "0", "root")
    assert container["StopTimeout"] == 30
    assert "Privileged" not in container


def test_service_may_read_exactly_its_candidates_secrets(template: Template) -> None:
    allowed = statements(template, "role-payments-task-source-dev1")
    assert allowed["ReadSecrets"]["Action"] == "secretsmanager:GetSecretValue"
    assert set(allowed["ReadSecrets"]["Resource"]) == {SOURCE.secret_arn, TARGET.secret_arn}
    assert allowed["DecryptSecrets"]["Action"] == "kms:Decrypt"
    assert set(allowed["DecryptSecrets"]["Resource"]) == {SOURCE.key_arn, TARGET.key_arn}
    assert len(allowed) == 2


def test_ecs_may_pull_one_image_and_write_one_log(template: Template) -> None:
    allowed = statements(template, "role-payments-execution-source-dev1")
    assert allowed["Pull"]["Resource"] == REPOSITORY_ARN
    (group,) = template.find_resources(
        "AWS::Logs::LogGroup", {"Properties": {"LogGroupName": "log-group-payments-source-dev1"}}
    )
    assert allowed["Log"]["Resource"] == {"Fn::GetAtt": [group, "Arn"]}
    assert allowed["LogIn"]["Action"] == "ecr:GetAuthorizationToken"
    template.resource_count_is("AWS::IAM::Policy", 0)


def test_service_waits_for_permissions_listener_and_image(template: Template) -> None:
    (service,) = template.find_resources("AWS::ECS::Service").values()
    policies = {
        name
        for name, policy in template.find_resources("AWS::IAM::ManagedPolicy").items()
        if "payments-" in str(policy["Properties"]["ManagedPolicyName"])
    }
    assert len(policies) == 2
    listeners = template.find_resources("AWS::ElasticLoadBalancingV2::Listener", {"Properties": {"Protocol": "HTTPS"}})
    images = template.find_resources("Custom::ExistingImage")
    assert policies | set(listeners) | set(images) <= set(service["DependsOn"])
    (image,) = images.values()
    assert (image["Properties"]["RepositoryName"], image["Properties"]["ImageTag"]) == ("payments", "1.2.3")
    asks = statements(template, "role-existing-image-source-dev1")["AskForTheStack"]
    assert (asks["Action"], asks["Resource"]) == ("cloudformation:DescribeStacks", {"Ref": "AWS::StackId"})


def test_service_runs_in_private_subnets_without_a_public_address(template: Template) -> None:
    network = only(template, "AWS::ECS::Service")["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network == {
        "AssignPublicIp": "DISABLED",
        "SecurityGroups": ["sg-0123456789abcdef0"],
        "Subnets": PRIVATE,
    }


def test_deployment_keeps_all_tasks_and_rolls_itself_back(template: Template) -> None:
    service = only(template, "AWS::ECS::Service")
    assert service["DeploymentConfiguration"] == {
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
    }
    assert service["EnableExecuteCommand"] is False


def test_an_update_leaves_the_count_to_autoscaling(template: Template) -> None:
    assert "DesiredCount" not in only(template, "AWS::ECS::Service")
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)


def test_load_balancer_faces_the_internet_and_lets_shifted_clients_go(template: Template) -> None:
    load_balancer = only(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert load_balancer["Scheme"] == "internet-facing"
    assert load_balancer["Subnets"] == PUBLIC
    set_attributes = attributes(load_balancer, "LoadBalancerAttributes")
    assert set_attributes["client_keep_alive.seconds"] == "60"
    assert set_attributes["idle_timeout.timeout_seconds"] == "30"
    assert set_attributes["deletion_protection.enabled"] == "false"


def test_unhealthy_tasks_are_found_fast_and_stopping_ones_drained(template: Template) -> None:
    group = only(template, "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert (group["TargetType"], group["Port"], group["HealthCheckPath"]) == ("ip", 8080, "/health")
    assert (group["HealthCheckIntervalSeconds"], group["HealthyThresholdCount"]) == (5, 2)
    assert attributes(group, "TargetGroupAttributes")["deregistration_delay.timeout_seconds"] == "5"


def test_clients_are_served_over_recent_tls_and_plain_http_is_redirected(template: Template) -> None:
    listeners = {
        one["Properties"]["Port"]: one["Properties"]
        for one in template.find_resources("AWS::ElasticLoadBalancingV2::Listener").values()
    }
    assert set(listeners) == {80, 443}
    assert listeners[443]["Protocol"] == "HTTPS"
    assert listeners[443]["Certificates"] == [{"CertificateArn": CERTIFICATE_ARN}]
    assert listeners[443]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    (action,) = listeners[80]["DefaultActions"]
    assert (action["Type"], action["RedirectConfig"]["Protocol"]) == ("redirect", "HTTPS")
    template.resource_count_is("AWS::EC2::SecurityGroup", 0)


def test_tasks_are_reached_and_checked_over_tls(template: Template) -> None:
    group = only(template, "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert group["Protocol"] == group["HealthCheckProtocol"] == "HTTPS"


def test_access_logs_go_to_a_bucket_that_goes_with_the_stack(template: Template) -> None:
    (bucket,) = template.find_resources("AWS::S3::Bucket")
    settings = attributes(only(template, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "LoadBalancerAttributes")
    assert settings["access_logs.s3.enabled"] == "true"
    assert settings["access_logs.s3.bucket"] == {"Ref": bucket}
    # Load balancers deliver to SSE-S3 only: the one exception.
    (rule,) = only(template, "AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (emptied,) = template.find_resources("Custom::EmptiedBucket").values()
    assert emptied["Properties"]["BucketName"] == {"Ref": bucket}


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_tasks_run_on_the_architecture_of_the_image(props: PaymentServiceProps, architecture: str) -> None:
    stack = cdk.Stack(cdk.App(), f"On{architecture.replace('_', '')}", env=cdk.Environment(region="us-east-1"))
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["us-east-1a", "us-east-1b"],
        public_subnet_ids=PUBLIC,
        private_subnet_ids=PRIVATE,
    )
    PaymentService(stack, "Payments", props=replace(props, vpc=vpc, cpu_architecture=architecture))
    definition = only(Template.from_stack(stack), "AWS::ECS::TaskDefinition")
    assert definition["RuntimePlatform"] == {"CpuArchitecture": architecture, "OperatingSystemFamily": "LINUX"}


def test_service_scales_on_cpu_and_memory(template: Template) -> None:
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    policies = template.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    metrics = {
        policy["Properties"]["PolicyName"]: policy["Properties"]["TargetTrackingScalingPolicyConfiguration"][
            "PredefinedMetricSpecification"
        ]["PredefinedMetricType"]
        for policy in policies
    }
    assert metrics == {
        "policy-payments-cpu-source-dev1": "ECSServiceAverageCPUUtilization",
        "policy-payments-memory-source-dev1": "ECSServiceAverageMemoryUtilization",
    }


def test_every_log_group_is_declared_encrypted_kept_as_asked_and_deleted_with_the_stack(template: Template) -> None:
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    (key,) = template.find_resources("AWS::KMS::Key")
    assert {group["Properties"]["LogGroupName"] for group in groups} == {
        "log-group-payments-source-dev1",
        "/aws/ecs/containerinsights/cluster-source-dev1/performance",
        "/aws/lambda/function-existing-image-source-dev1",
        "/aws/lambda/function-quiet-cluster-source-dev1",
        "/aws/lambda/function-empty-balancer-logs-source-dev1",
    }
    for group in groups:
        assert group["Properties"]["KmsKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["DeletionPolicy"] == "Delete"


def test_cluster_counts_its_tasks(template: Template) -> None:
    assert only(template, "AWS::ECS::Cluster")["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}]


def test_container_insights_end_before_the_service_does(template: Template) -> None:
    (cluster,) = template.find_resources("AWS::ECS::Cluster")
    (service,) = template.find_resources("AWS::ECS::Service")
    (quiet,) = template.find_resources("Custom::QuietCluster").values()
    assert quiet["Properties"]["Cluster"] == {"Ref": cluster}
    assert service in quiet["DependsOn"]
    allowed = statements(template, "role-quiet-cluster-source-dev1")
    del allowed["Log"]
    assert {statement["Action"]: statement["Resource"] for statement in allowed.values()} == {
        "ecs:UpdateClusterSettings": {"Fn::GetAtt": [cluster, "Arn"]},
        "cloudformation:DescribeStacks": {"Ref": "AWS::StackId"},
    }


def test_draining_longer_than_a_task_lives_is_refused(props: PaymentServiceProps) -> None:
    with pytest.raises(PropsError, match="30 s"):
        replace(props, deregistration_delay_seconds=30)


@pytest.mark.parametrize(("desired", "most"), [(0, 8), (9, 8)])
def test_counts_out_of_order_are_refused(props: PaymentServiceProps, desired: int, most: int) -> None:
    with pytest.raises(PropsError, match="between 1 and max_count"):
        replace(props, desired_count=desired, max_count=most)
