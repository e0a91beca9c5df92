"""The report of a batch: an HTML page, and its tables as CSV, LaTeX and JSON."""

from ecglib.batch.report.files import write_report

__all__ = ["write_report"]
