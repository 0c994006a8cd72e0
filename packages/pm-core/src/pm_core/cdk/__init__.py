"""The CDK part of pm-core: contracts as SSM parameters, and the aspects that every app applies."""

from pm_core.cdk.aspects import DestroyableAspect, EncryptionAspect, apply_aspects
from pm_core.cdk.parameters import publish, read

__all__ = ["publish", "read", "apply_aspects", "DestroyableAspect", "EncryptionAspect"]
