"""Copies the schema of the payment tables: tables and primary keys before the load, everything else after it."""

from pm_cutover.schema.archive import SchemaArchive, dump_schema
from pm_cutover.schema.copy import copy_tables, finish_tables

__all__ = ["SchemaArchive", "copy_tables", "dump_schema", "finish_tables"]
