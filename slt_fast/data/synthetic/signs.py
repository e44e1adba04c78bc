"""Signs by their phonological parameters: handshape, location, movement, hands.

Positions are in head heights from the centre of the head, x to the right and y down in the image.
The signer's dominant (right) hand is on the left of the image, as in front of a camera.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

# Extension of thumb, index, middle, ring and little finger (0 closed, 1 straight) and their spread
# (0 parallel, 1 fanned out).
HANDSHAPES: dict[str, tuple[float, ...]] = {
    "fist": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "index": (0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    "flat": (0.2, 1.0, 1.0, 1.0, 1.0, 0.1),
    "spread": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "horns": (0.9, 0.0, 0.0, 0.0, 1.0, 1.0),
    "vee": (0.0, 1.0, 1.0, 0.0, 0.0, 0.8),
}

LOCATIONS: dict[str, tuple[float, float]] = {
    "forehead": (-0.45, -0.45),
    "beside_head": (-1.15, -0.15),
    "chin": (-0.35, 0.55),
    "opposite_shoulder": (0.6, 1.0),
    "chest": (-0.4, 1.25),
    "side": (-1.3, 1.2),
    "belly": (-0.5, 2.0),
}

MOVEMENTS = (
    "up",
    "down",
    "outward",
    "inward",
    "forward",
    "circle",
    "reverse_circle",
    "shake",
    "tap",
    "arc",
)

HANDS = ("one", "two")


@dataclass(frozen=True)
class Sign:
    """One sign of the lexicon."""

    handshape: str  # a key of HANDSHAPES
    location: str  # a key of LOCATIONS, the centre of the movement
    movement: str  # one of MOVEMENTS
    hands: str = "one"  # "one" (dominant hand) or "two" (the other hand mirrors it)
    orientation: float = 0.0  # of the fingers, degrees from upwards, positive to the midline
    side: int = 0  # of the image where the hand is, -1 left or 1 right; 0 keeps the location's
    turn: int = 0  # of the head during the sign, -1 left or 1 right in the image; 0 for none

    def __post_init__(self) -> None:
        for value, allowed in (
            (self.handshape, HANDSHAPES),
            (self.location, LOCATIONS),
            (self.movement, MOVEMENTS),
            (self.hands, HANDS),
        ):
            if value not in allowed:
                raise ValueError(f"sign parameter: found {value!r}; expected {tuple(allowed)}")


# Minimal pairs, by the one parameter that differs:
#   handshape: MOTHER/DOCTOR, SEE/FIND, APPLE/BREAD, CITY/SCHOOL
#   location:  MOTHER/FATHER, BOOK/HOUSE, YESTERDAY/FRIEND, RED/GOOD
#   movement:  BUY/BRING, TOMORROW/YESTERDAY, WORK/DANCE, NEW/OLD, LIKE/WANT
#   hands:     CHILD/TEACHER, DOG/FLOWER, SLEEP/REST
LEXICON: dict[str, Sign] = {
    "YESTERDAY": Sign("horns", "beside_head", "up"),
    "TOMORROW": Sign("horns", "beside_head", "down"),
    "TODAY": Sign("horns", "belly", "down", "two"),
    "I": Sign("index", "chest", "tap", orientation=60.0),
    "YOU": Sign("index", "chest", "forward"),
    "MOTHER": Sign("spread", "chin", "tap"),
    "FATHER": Sign("spread", "forehead", "tap"),
    "DOCTOR": Sign("fist", "chin", "tap"),
    "FRIEND": Sign("horns", "chest", "up"),
    "CHILD": Sign("flat", "side", "down"),
    "TEACHER": Sign("flat", "side", "down", "two"),
    "BOOK": Sign("flat", "chest", "outward", "two"),
    "HOUSE": Sign("flat", "beside_head", "outward", "two"),
    "APPLE": Sign("fist", "side", "circle"),
    "BREAD": Sign("spread", "side", "circle"),
    "CAR": Sign("fist", "chest", "shake", "two"),
    "DOG": Sign("flat", "belly", "tap"),
    "FLOWER": Sign("flat", "belly", "tap", "two"),
    "RED": Sign("index", "chin", "down"),
    "GOOD": Sign("index", "forehead", "down"),
    "NEW": Sign("vee", "opposite_shoulder", "arc"),
    "OLD": Sign("vee", "opposite_shoulder", "down"),
    "SEE": Sign("vee", "forehead", "outward"),
    "FIND": Sign("spread", "forehead", "outward"),
    "BUY": Sign("fist", "side", "outward"),
    "BRING": Sign("fist", "side", "inward"),
    "LIKE": Sign("spread", "chest", "circle", "two"),
    "WANT": Sign("spread", "chest", "inward", "two"),
    "SLEEP": Sign("flat", "beside_head", "shake"),
    "REST": Sign("flat", "beside_head", "shake", "two"),
    "WORK": Sign("fist", "belly", "circle", "two"),
    "DANCE": Sign("fist", "belly", "up", "two"),
    "SCHOOL": Sign("spread", "side", "up", "two"),
    "CITY": Sign("index", "side", "up", "two"),
    "PARK": Sign("vee", "belly", "reverse_circle"),
}

# In the corpus with agreement both glosses of a pair have the sign of the first one, at one side or
# the other. The head turns to the hand for the first gloss, and away from it for the second.
AGREEMENT_PAIRS = (
    ("YESTERDAY", "TOMORROW"),
    ("MOTHER", "FATHER"),
    ("CHILD", "TEACHER"),
    ("APPLE", "BREAD"),
    ("DOG", "FLOWER"),
    ("RED", "GOOD"),
    ("NEW", "OLD"),
    ("SEE", "FIND"),
    ("BUY", "BRING"),
    ("SLEEP", "REST"),
)

ORIENTATIONS = (0.0, 45.0, 90.0, -45.0)


def sign_for(gloss: str) -> Sign:
    """Returns the sign of any gloss: the lexicon's, or one chosen by a stable hash of its name."""
    if gloss in LEXICON:
        return LEXICON[gloss]
    number = int.from_bytes(hashlib.sha256(gloss.encode("utf-8")).digest()[:8], "big")
    chosen: list[Any] = []
    for values in (tuple(HANDSHAPES), tuple(LOCATIONS), MOVEMENTS, HANDS, ORIENTATIONS):
        number, index = divmod(number, len(values))
        chosen.append(values[index])
    return Sign(*chosen)


def agreeing_sign(gloss: str, side: int) -> Sign:
    """Returns the sign of a gloss in the corpus with agreement.

    Args:
        gloss: Any gloss; those in no pair have the sign that sign_for returns.
        side: Side of the image where the hand is, -1 left or 1 right, if the gloss is in a pair.
    """
    for toward, away in AGREEMENT_PAIRS:
        if gloss in (toward, away):
            turn = side if gloss == toward else -side
            return replace(LEXICON[toward], side=side, turn=turn)
    return sign_for(gloss)
