"""AWS DMS: the API, the CloudFormation types, and tasks that move rows between real PostgreSQL servers."""

from pm_rehearsal.cloud.dms.service import install

__all__ = ["install"]
