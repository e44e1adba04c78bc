"""A page of a translation: one file, to be opened by a browser without a network."""

from slt_fast.visualize.report.page import ReportedSentence, write_report
from slt_fast.visualize.report.recording import Recording

__all__ = ["Recording", "ReportedSentence", "write_report"]
