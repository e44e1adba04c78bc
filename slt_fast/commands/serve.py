"""Serves a page that translates videos, for this computer or with a token for others.

slt-serve

slt-serve --checkpoint runs/quickstart --host 0.0.0.0 --names myhost --token SECRET
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast import Translator, command_line
from slt_fast.errors import UserError
from slt_fast.serving import Limits, create_app
from slt_fast.settings import Bounds, check_settings

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Arguments:
    """Serves a page that translates videos."""

    checkpoint: Path | None = None
    """Folder of a checkpoint, or of a run (its best checkpoint). By default the model that comes
    with slt_fast, which knows only a signer drawn by code."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other computers reach needs a token."""
    port: Annotated[int, Bounds(ge=0), Bounds(le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    names: tuple[str, ...] = ()
    """Further names that browsers call this server by."""
    token: str | None = None
    """What a client must send; at least 16 characters. The page asks for it."""
    limits: Limits = field(default_factory=Limits)
    """What a client may ask for."""
    device: str = "auto"
    """auto takes the GPU if there is one."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.token is not None and len(self.token) < 16:
            found = f"found {len(self.token)} characters"
            raise UserError(f"token: {found}; expected at least 16")
        if self.token is None and not _is_local(self.host):
            expected = "expected --token as well, as other computers reach it"
            raise UserError(f"host: found {self.host}; {expected}")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serves as the command line says."""
    import uvicorn

    arguments = command_line.parse(Annotated[Arguments, tyro.conf.OmitArgPrefixes], __doc__)
    translator = Translator.load(arguments.checkpoint, device=arguments.device)
    if translator.takes_glosses:
        expected = "expected one that sees video"
        raise UserError(f"checkpoint: found a model that takes glosses; {expected}")
    hosts = (*_LOCAL, arguments.host, *arguments.names)
    app = create_app(translator, arguments.limits, token=arguments.token, hosts=hosts)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="info")


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
