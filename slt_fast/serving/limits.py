"""What one client may ask of the server."""

from dataclasses import dataclass
from typing import Annotated

from slt_fast.settings import Bounds, check_settings


@dataclass(frozen=True)
class Limits:
    """Limits of an upload and of the clients; the defaults suit a computer of one person."""

    max_megabytes: Annotated[int, Bounds(ge=1)] = 64
    """Largest file of a client."""
    max_seconds: Annotated[float, Bounds(ge=1)] = 120.0
    """Longest video."""
    upload_seconds: Annotated[float, Bounds(ge=1)] = 60.0
    """Longest time that a file may take to arrive."""
    decode_seconds: Annotated[float, Bounds(ge=1)] = 60.0
    """Most CPU time that decoding a video may take."""
    decode_megabytes: Annotated[int, Bounds(ge=64)] = 1024
    """Most memory that decoding a video may take."""
    max_waiting: Annotated[int, Bounds(ge=0)] = 32
    """Clients that may wait while another one's video is translated; more are refused."""
    uploads_a_minute: Annotated[int, Bounds(ge=1)] = 30
    """Videos of one address in a minute; more are refused."""

    def __post_init__(self) -> None:
        check_settings(self)
