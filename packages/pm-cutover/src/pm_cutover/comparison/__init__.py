"""Row-level comparison of two live PostgreSQL databases."""

from pm_cutover.comparison.rows import TableComparer, TableComparison
from pm_cutover.comparison.table import ComparedTable, comparison_session, describe_table

__all__ = ["ComparedTable", "TableComparer", "TableComparison", "comparison_session", "describe_table"]
