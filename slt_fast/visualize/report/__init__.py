"""A page of a translation: one file, to be opened by a browser without a network."""

from slt_fast.visualize.report.page import HEIGHT, ReportedSentence, write_report

__all__ = ["HEIGHT", "ReportedSentence", "write_report"]
