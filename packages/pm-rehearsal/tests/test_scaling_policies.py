import json

import pytest

from pm_rehearsal.cloud.launch import EmbeddedCloud

DIMENSION = "ecs:service:DesiredCount"


@pytest.fixture(scope="module")
def cloud():
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def _service(cloud):
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="cluster")
    container = {"name": "one", "image": "one"}
    ecs.register_task_definition(
        family="one", requiresCompatibilities=["FARGATE"], cpu="256", memory="512", containerDefinitions=[container]
    )
    ecs.create_service(cluster="cluster", serviceName="service", taskDefinition="one", desiredCount=0)
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


def test_registering_a_target_moves_the_count_between_its_bounds(cloud):
    ecs, scaling = cloud.client("ecs"), cloud.client("application-autoscaling")

    def count_within(lowest, highest):
        scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId="service/cluster/service",
            ScalableDimension=DIMENSION,
            MinCapacity=lowest,
            MaxCapacity=highest,
        )
        return ecs.describe_services(cluster="cluster", services=["service"])["services"][0]["desiredCount"]

    assert [count_within(*bounds) for bounds in ((2, 6), (1, 6), (4, 8), (1, 3))] == [2, 2, 4, 3]


def test_a_target_needs_a_service(cloud):
    scaling = cloud.client("application-autoscaling")
    with pytest.raises(scaling.exceptions.ValidationException, match="service/cluster/other"):
        scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId="service/cluster/other",
            ScalableDimension=DIMENSION,
            MinCapacity=1,
            MaxCapacity=2,
        )
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []


def test_a_policy_needs_a_target(cloud):
    scaling = cloud.client("application-autoscaling")
    with pytest.raises(scaling.exceptions.ObjectNotFoundException):
        scaling.put_scaling_policy(
            PolicyName="p", ServiceNamespace="ecs", ResourceId="service/a/b", ScalableDimension=DIMENSION
        )
