"""What ECR and the load balancers' control plane answer, refuse and remove."""

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, WaiterError

from pm_rehearsal.cloud.certificates import IN_USE_SECONDS
from pm_rehearsal.cloud.launch import EmbeddedCloud
from pm_rehearsal.resolver import ResolveError, Resolver


@pytest.fixture(scope="module")
def cloud():
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def _clean(cloud):
    yield
    cloud.reset()


def test_a_missing_image_is_an_error_of_the_registry(cloud):
    registry = cloud.client("ecr")
    registry.create_repository(repositoryName="payments")
    registry.put_image(repositoryName="payments", imageManifest='{"schemaVersion": 2}', imageTag="1")
    found = registry.describe_images(repositoryName="payments", imageIds=[{"imageTag": "1"}])["imageDetails"][0]
    assert registry.describe_images(
        repositoryName="payments", imageIds=[{"imageTag": "1"}, {"imageDigest": found["imageDigest"]}]
    )["imageDetails"]
    with pytest.raises(registry.exceptions.ImageNotFoundException):
        registry.describe_images(repositoryName="payments", imageIds=[{"imageTag": "2"}])
    assert registry.batch_get_image(repositoryName="payments", imageIds=[{"imageTag": "1"}])["images"]


def test_pushing_again_is_told_from_pushing_another_image(cloud):
    registry = cloud.client("ecr")
    registry.create_repository(repositoryName="payments", imageTagMutability="IMMUTABLE")
    push = {"repositoryName": "payments", "imageTag": "1"}
    registry.put_image(**push, imageManifest='{"schemaVersion": 2}')
    with pytest.raises(registry.exceptions.ImageAlreadyExistsException):
        registry.put_image(**push, imageManifest='{"schemaVersion": 2}')
    with pytest.raises(registry.exceptions.ImageTagAlreadyExistsException):
        registry.put_image(**push, imageManifest='{"schemaVersion": 3}')


def test_a_repository_is_deleted_with_its_images_when_it_says_so(cloud):
    cloudformation, registry = cloud.client("cloudformation"), cloud.client("ecr")
    lifecycle = {"rules": [{"rulePriority": 1, "selection": {}, "action": {"type": "expire"}}]}
    properties = {
        "RepositoryName": "payments",
        "ImageTagMutability": "IMMUTABLE",
        "ImageScanningConfiguration": {"ScanOnPush": True},
        "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": "arn:aws:kms:us-east-1:123456789012:key/k"},
        "LifecyclePolicy": {"LifecyclePolicyText": json.dumps(lifecycle)},
        "EmptyOnDelete": True,
    }
    body = {"Resources": {"Registry": {"Type": "AWS::ECR::Repository", "Properties": properties}}}
    cloudformation.create_stack(StackName="registry", TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="registry", WaiterConfig={"Delay": 1})
    made = registry.describe_repositories(repositoryNames=["payments"])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
    registry.put_image(repositoryName="payments", imageManifest='{"schemaVersion": 2}', imageTag="1")
    with pytest.raises(registry.exceptions.ImageTagAlreadyExistsException):
        registry.put_image(repositoryName="payments", imageManifest='{"schemaVersion": 3}', imageTag="1")
    cloudformation.delete_stack(StackName="registry")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="registry", WaiterConfig={"Delay": 1})
    with pytest.raises(registry.exceptions.RepositoryNotFoundException):
        registry.describe_repositories(repositoryNames=["payments"])


def test_what_a_load_balancer_cannot_do_is_refused(cloud):
    balancing, cloudformation = cloud.client("elbv2"), cloud.client("cloudformation")
    with pytest.raises(ClientError, match="TargetType: lambda is not supported"):
        balancing.create_target_group(Name="g", TargetType="lambda")
    made = balancing.create_load_balancer(Name="balancer", Subnets=["subnet-1"])["LoadBalancers"][0]
    with pytest.raises(ClientError, match=r"deletion_protection\.enabled = true is not supported"):
        balancing.modify_load_balancer_attributes(
            LoadBalancerArn=made["LoadBalancerArn"],
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}],
        )
    sticky = {"TargetType": "ip", "TargetGroupAttributes": [{"Key": "stickiness.enabled", "Value": "true"}]}
    body = {"Resources": {"Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": sticky}}}
    cloudformation.create_stack(StackName="group", TemplateBody=json.dumps(body))
    with pytest.raises(WaiterError):
        cloudformation.get_waiter("stack_create_complete").wait(StackName="group", WaiterConfig={"Delay": 1})
    events = cloudformation.describe_stack_events(StackName="group")["StackEvents"]
    assert any("stickiness.enabled" in event.get("ResourceStatusReason", "") for event in events)


def test_a_killed_balancer_comes_back_on_its_port(cloud):
    balancing = cloud.client("elbv2")
    made = balancing.create_load_balancer(Name="balancer", Subnets=["subnet-1"])["LoadBalancers"][0]
    fixed = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "x"}
    actions = [{"Type": "fixed-response", "FixedResponseConfig": fixed}]
    balancing.create_listener(LoadBalancerArn=made["LoadBalancerArn"], Port=80, Protocol="HTTP", DefaultActions=actions)

    def endpoint():
        deadline = time.monotonic() + 20
        while True:
            try:
                found = asyncio.run(Resolver(cloud.dns).resolve(made["DNSName"]))
                socket.create_connection((found.host, found.port), 5).close()
            except (ResolveError, ConnectionRefusedError):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return found

    before = endpoint()
    children = Path(f"/proc/{cloud.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    balancers = [pid for pid in pids if b"pm_rehearsal.cloud.balancer" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(balancers) == 1
    os.kill(balancers[0], signal.SIGKILL)
    while Path(f"/proc/{balancers[0]}").exists():
        time.sleep(0.05)
    assert endpoint() == before


def test_a_certificate_that_a_load_balancer_used_a_moment_ago_is_not_deleted(cloud):
    authority, balancing, cloudformation = cloud.client("acm"), cloud.client("elbv2"), cloud.client("cloudformation")
    properties = {"DomainName": "pay.acme.test", "ValidationMethod": "DNS"}
    body = {
        "Resources": {"Certificate": {"Type": "AWS::CertificateManager::Certificate", "Properties": properties}},
        "Outputs": {"Arn": {"Value": {"Ref": "Certificate"}}},
    }
    cloudformation.create_stack(StackName="certificate", TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="certificate", WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName="certificate")["Stacks"]
    arn = stack["Outputs"][0]["OutputValue"]

    def users():
        return authority.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"]

    assert users() == []
    balancer = balancing.create_load_balancer(Name="balancer", Subnets=["subnet-1"])["LoadBalancers"][0]
    fixed = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "x"}
    balancing.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
    )
    deadline = time.monotonic() + IN_USE_SECONDS + 20
    while users() != [balancer["LoadBalancerArn"]]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    balancing.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    with pytest.raises(authority.exceptions.ResourceInUseException, match=f"{arn} in account .* is in use"):
        authority.delete_certificate(CertificateArn=arn)
    cloudformation.delete_stack(StackName="certificate")
    with pytest.raises(WaiterError, match="DELETE_FAILED"):
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="certificate", WaiterConfig={"Delay": 1})
    while users():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    cloudformation.delete_stack(StackName="certificate")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="certificate", WaiterConfig={"Delay": 1})
