"""The commands slt-train, slt-evaluate, slt-translate, slt-extract-flow and others."""

import multiprocessing
import signal

from slt_fast.threads import wait_asleep

wait_asleep()
# Until command_line.run, Ctrl-C ends the program at once: imports take seconds, and have nothing to
# say about where they were. Worker processes, which import this as well, never see it.
if (
    multiprocessing.parent_process() is None
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    import tyro  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "slt_fast.commands: found no module tyro; install the extra slt (pip install '.[slt]')",
        name=error.name,
    ) from error
