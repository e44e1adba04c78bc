"""A page of a translation: one file, to be opened by a browser without a network."""

from slt_fast.visualize.report.page import ReportedSentence, write_report

__all__ = ["ReportedSentence", "write_report"]
