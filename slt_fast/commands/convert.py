"""Writes a manifest of a known data set: how2sign, openasl, csl-daily, wmt-slt or dailymoth.

slt-convert how2sign How2Sign > manifest.tsv

slt-convert csl-daily data/CSL-Daily --folder data > data/manifest.tsv

Training reads it with --data manifest:manifest.tsv.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from slt_fast import command_line
from slt_fast.data.datasets.converters.conversion import Conversion
from slt_fast.data.datasets.converters.csl_daily import convert_csl_daily
from slt_fast.data.datasets.converters.dailymoth import convert_dailymoth
from slt_fast.data.datasets.converters.how2sign import convert_how2sign
from slt_fast.data.datasets.converters.openasl import convert_openasl
from slt_fast.data.datasets.converters.wmt_slt import convert_wmt_slt
from slt_fast.data.skipped import SkippedClips
from slt_fast.settings import check_settings

CONVERTERS: dict[str, Callable[[Conversion], None]] = {
    "how2sign": convert_how2sign,
    "openasl": convert_openasl,
    "csl-daily": convert_csl_daily,
    "wmt-slt": convert_wmt_slt,
    "dailymoth": convert_dailymoth,
}
_HINTS = {"csl-daily": "train with --text-units character; scores are by character by themselves"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arguments:
    """Writes a manifest of a known data set to standard output."""

    data_set: Annotated[
        Literal["how2sign", "openasl", "csl-daily", "wmt-slt", "dailymoth"],
        tyro.conf.Positional,
    ]
    """Name of the data set."""
    root: Annotated[Path, tyro.conf.Positional]
    """Folder of the data set, in its own layout."""
    folder: Path = Path()
    """Folder that the manifest will be in, to which its paths are relative; the data set is below
    it. By default the current one."""
    skip_bad: bool = False
    """Leave out and list bad rows and missing tables, instead of stopping at the first."""

    def __post_init__(self) -> None:
        check_settings(self)


def main() -> None:
    """Converts as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    skipped = SkippedClips()
    on_error = skipped if arguments.skip_bad else None
    conversion = Conversion(arguments.root, arguments.folder, on_error)
    CONVERTERS[arguments.data_set](conversion)
    for error in conversion.missing:
        logger.warning("left out: %s", error)
    for error in conversion.remarks:
        logger.warning("%s", error)
    manifest = conversion.manifest()
    # Whatever the terminal's encoding is, a manifest is UTF-8.
    sys.stdout.buffer.write(manifest.encode())
    sys.stdout.flush()
    logger.info(
        "wrote %d rows; left out %d whose video is missing and %d bad ones; %d remarks",
        *(len(conversion.rows), len(conversion.missing)),
        *(len(skipped.lines), len(conversion.remarks)),
    )
    if hint := _HINTS.get(arguments.data_set):
        logger.info("%s", hint)


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
