import json

import pytest

from pm_rehearsal.cloud.launch import EmbeddedCloud

DIMENSION = "ecs:service:DesiredCount"


@pytest.fixture(scope="module")
def cloud():
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def _clean(cloud):
    yield
    cloud.reset()


def resources(**target):
    return {
        "Resources": {
            "Target": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {
                    "MinCapacity": 2,
                    "MaxCapacity": 6,
                    "ResourceId": "service/cluster/service",
                    "ScalableDimension": DIMENSION,
                    "ServiceNamespace": "ecs",
                    **target,
                },
            },
            "Policy": {
                "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                "Properties": {
                    "PolicyName": "cpu",
                    "PolicyType": "TargetTrackingScaling",
                    "ScalingTargetId": {"Ref": "Target"},
                    "TargetTrackingScalingPolicyConfiguration": {
                        "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                        "TargetValue": "60",
                        "ScaleInCooldown": "300",
                    },
                },
            },
        }
    }


def test_a_stack_makes_changes_and_removes_targets_and_policies(cloud):
    cloudformation, scaling = cloud.client("cloudformation"), cloud.client("application-autoscaling")
    for action, highest in (("create", 6), ("update", 8)):
        body = json.dumps(resources(MaxCapacity=highest))
        getattr(cloudformation, f"{action}_stack")(StackName="stack", TemplateBody=body)
        cloudformation.get_waiter(f"stack_{action}_complete").wait(StackName="stack", WaiterConfig={"Delay": 1})
        target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
        assert (target["MinCapacity"], target["MaxCapacity"]) == (2, highest)
    policy = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"][0]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60
    assert policy["ResourceId"] == "service/cluster/service"
    cloudformation.delete_stack(StackName="stack")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="stack", WaiterConfig={"Delay": 1})
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"] == []


def test_a_policy_needs_a_target(cloud):
    scaling = cloud.client("application-autoscaling")
    with pytest.raises(scaling.exceptions.ObjectNotFoundException):
        scaling.put_scaling_policy(
            PolicyName="p", ServiceNamespace="ecs", ResourceId="service/a/b", ScalableDimension=DIMENSION
        )
