"""A web page that translates: uploads are decoded in a process of its own, one after the other.

`decoding` reads a file that nobody trusts, `places` lets one client in at a time, `translating`
makes the events that a client sees, `app` is the server.
"""

from slt_fast.serving.app import create_app
from slt_fast.serving.limits import Limits

__all__ = ["Limits", "create_app"]
