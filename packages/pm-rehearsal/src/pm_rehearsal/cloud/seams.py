"""The private parts of MiniStack that the extension builds on, checked when the server starts."""

import importlib
import importlib.metadata

VERSION = "1.5.33"

# What our modules use of MiniStack beyond its HTTP interface.
SEAMS: dict[str, tuple[str, ...]] = {
    "app": ("app", "SERVICE_HANDLERS", "_reset_all_state"),
    "core.concurrency": ("run_reentrant",),
    "core.iam_evaluator": ("EvalContext", "evaluate_resource_policy"),
    "core.lambda_runtime": ("subprocess", "reset"),
    "core.responses": ("get_account_id", "get_region", "request_scope"),
    "core.router": ("SERVICE_PATTERNS",),
    "services.cloudformation": ("_stacks",),
    "services.cloudformation.custom_resource": ("deliver_response",),
    "services.cloudformation.engine": (
        *("validate_template_support", "declared_transforms"),
        *("_apply_transforms", "_without_transform"),
    ),
    "services.cloudformation.provisioners": (
        *("_RESOURCE_HANDLERS", "_physical_name", "_seeded_create", "_rds_db_instance_attrs", "_s3_delete"),
        *("_r53_record_set_build_rs", "_r53_resolve_hosted_zone_id", "_sm_target_connection", "_SM_TARGET_KEYS"),
    ),
    "services.cloudformation.stacks": ("_runs_on_worker_thread",),
    "services.cloudwatch": ("_alarms", "_dispatch_alarm_actions", "_metrics", "_dims_key", "_evaluate_alarm"),
    "services.ecr": ("_find_image", "_image_digest"),
    "services.eventbridge": ("_invoke_target", "_put_events"),
    "services.iam": ("_roles",),
    "services.kms": ("_aliases", "_keys", "_resolve_key"),
    "services.lambda_svc": ("_execute_function_with_config_scope",),
    "services.rds": (
        *("_ACTION_MAP", "_error", "_finish_instance_reboot", "_instances", "_p", "_param_groups"),
        *("_rotate_instance_password", "_single_instance_response", "_xml"),
    ),
    "services.route53": ("_records", "_rs_key", "_rs_values", "_zones"),
    "services.s3": (
        *("_bucket_logging_config", "_bucket_owner_account", "_bucket_policies", "_bucket_replication", "_buckets"),
        *("_bucket_versioning", "_dispatch", "_error", "_maybe_replicate", "_maybe_replicate_delete_marker"),
        *("_object_tags", "_object_versions", "_put_bucket_replication", "_put_object", "_record_delete_marker"),
        *("_record_object_version", "_replication_destination", "_replication_rule_prefix"),
        *("_replication_rule_tags", "_resolve_sse_write_headers"),
    ),
    "services.secretsmanager": ("_resolve",),
    "services.sns": ("_topics", "publish_internal"),
}


class SeamError(RuntimeError):
    """The installed MiniStack is not the one that this package was written for."""


def check() -> None:
    """Compare the installed MiniStack with what we build on.

    Raises:
        SeamError: Names the version or the missing attributes.
    """
    installed = importlib.metadata.version("ministack")
    if installed != VERSION:
        raise SeamError(f"MiniStack {installed} is installed, the embedded AWS needs exactly {VERSION}: run `uv sync`")
    missing = [
        f"ministack.{name}.{attribute}"
        for name, attributes in SEAMS.items()
        for attribute in attributes
        if not hasattr(importlib.import_module(f"ministack.{name}"), attribute)
    ]
    if missing:
        raise SeamError(f"MiniStack {installed} has no {', '.join(missing)}: reinstall it with `uv sync --reinstall`")
