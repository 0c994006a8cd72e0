"""CloudWatch: composite alarms, alarms on metric math, and alarms that look at their own dimensions."""

from types import FunctionType
from typing import Any

from pm_rehearsal.cloud.extension import CreateHandler, Extension, Properties, Provider, Provisioned, UpdateHandler

ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def install(extension: Extension) -> None:
    """Add composite alarms; let AWS::CloudWatch::Alarm take ``Metrics``; evaluate alarms by dimension."""
    extension.provide(CompositeAlarm(extension))
    math = _MetricMath(extension)
    extension.wrap("AWS::CloudWatch::Alarm", create=math.create, update=math.update)
    _evaluate_by_dimension(extension)


def _boolean(value: Any) -> bool:
    return str(value).lower() == "true"


class CompositeAlarm(Provider):
    """AWS::CloudWatch::CompositeAlarm."""

    type_name = "AWS::CloudWatch::CompositeAlarm"
    properties = frozenset({"AlarmName", "AlarmRule", "AlarmDescription", "ActionsEnabled", *ACTIONS, "Tags"})
    replace_on = frozenset({"AlarmName"})

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def create(self, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        """Put the alarm."""
        name = properties.get("AlarmName") or self._extension.physical_name(
            stack_name, logical_id, 255, lowercase=False
        )
        return self._put(name, properties)

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Provisioned:
        """Put it again under its name."""
        del old, stack_name, logical_id
        return self._put(physical_id, new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete the alarm."""
        del properties
        self._extension.client("cloudwatch").delete_alarms(AlarmNames=[physical_id])

    def _put(self, name: str, properties: Properties) -> Provisioned:
        given = {key: value for key, value in properties.items() if key not in {"AlarmName", "ActionsEnabled"}}
        given["ActionsEnabled"] = _boolean(properties.get("ActionsEnabled", True))
        self._extension.client("cloudwatch").put_composite_alarm(AlarmName=name, **given)
        account, region = self._extension.scope()
        return name, {"Arn": f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"}


class _MetricMath:
    """MiniStack refuses ``Metrics``. Here such an alarm is kept and described in full; it is never evaluated."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._cloudwatch = extension.module("services.cloudwatch")

    def create(self, original: CreateHandler, logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
        if not properties.get("Metrics"):
            return original(logical_id, properties, stack_name)
        return self._store(*original(logical_id, self._plain(properties), stack_name), properties)

    def update(
        self,
        original: UpdateHandler,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str,
    ) -> Provisioned:
        before = self._plain(old) if old.get("Metrics") else old
        if not new.get("Metrics"):
            return original(physical_id, before, new, stack_name, logical_id)
        return self._store(*original(physical_id, before, self._plain(new), stack_name, logical_id), new)

    def _plain(self, properties: Properties) -> dict[str, Any]:
        """The same alarm on a metric that is never reported, so that MiniStack keeps everything else."""
        named = {"Namespace": "PM/MetricMath", "MetricName": "Expression"}
        return {key: value for key, value in properties.items() if key != "Metrics"} | named

    def _store(self, name: str, attributes: dict[str, Any], properties: Properties) -> Provisioned:
        alarm = self._cloudwatch._alarms[name]
        for field in ("Namespace", "MetricName", "Statistic", "ExtendedStatistic", "Dimensions", "Unit"):
            alarm.pop(field, None)
        alarm["Metrics"] = [_query(query) for query in properties["Metrics"]]
        return name, attributes


def _query(query: Properties) -> dict[str, Any]:
    result = dict(query)
    if "ReturnData" in result:
        result["ReturnData"] = _boolean(result["ReturnData"])
    if "Period" in result:
        result["Period"] = int(result["Period"])
    if "MetricStat" in result:
        result["MetricStat"] = result["MetricStat"] | {"Period": int(result["MetricStat"]["Period"])}
    return result


def _evaluate_by_dimension(extension: Extension) -> None:
    """MiniStack evaluates an alarm on every metric of its name, whatever the dimensions."""
    cloudwatch = extension.module("services.cloudwatch")
    evaluate = cloudwatch._evaluate_alarm

    def by_dimension(alarm: dict[str, Any]) -> None:
        key = (alarm.get("Namespace"), alarm.get("MetricName"), cloudwatch._dims_key(_dimensions(alarm)))
        points = cloudwatch._metrics.get(key, [])
        # The same function over a metric store that holds only this alarm's own metric.
        FunctionType(evaluate.__code__, vars(cloudwatch) | {"_metrics": {key: points}})(alarm)

    cloudwatch._evaluate_alarm = by_dimension


def _dimensions(alarm: Properties) -> dict[str, str]:
    return {item["Name"]: item["Value"] for item in alarm.get("Dimensions") or []}
