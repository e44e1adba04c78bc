"""Which clips are left out, and why."""

import logging
from pathlib import Path

from slt_fast.errors import DataError
from slt_fast.files import replacing

logger = logging.getLogger(__name__)


class SkippedClips:
    """Lists each clip once, when it is left out: in the log, and in a file once one is open."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.path: Path | None = None

    def __call__(self, error: DataError) -> None:
        if str(error) not in self.lines:
            self.lines.append(str(error))
            logger.warning("left out: %s", error)
            self._write()

    def open(self, path: Path, *, append: bool) -> None:
        """Writes to a file from now on; append keeps what an earlier part of the run wrote."""
        known = path.read_text(encoding="utf-8").splitlines() if append and path.exists() else []
        path.unlink(missing_ok=True)
        self.path, self.lines = path, list(dict.fromkeys([*known, *self.lines]))
        self._write()

    def _write(self) -> None:
        if self.path and self.lines:
            with replacing(self.path) as temporary:
                temporary.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
