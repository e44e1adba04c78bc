"""Turns signs into a pose for each frame: strokes, travel between signs, head and brows."""

from dataclasses import dataclass, fields

import numpy as np

from slt_fast.data.synthetic.signer import Signer
from slt_fast.data.synthetic.signs import HANDSHAPES, LOCATIONS, Sign

STROKE_FRAMES = 5.2
REPEATED_STROKE_FRAMES = 6.5  # circles and repeated movements take longer
TRAVEL_SPEED = 0.95  # head heights a frame between two signs
STROKE_LENGTH = 0.55  # half the length of a straight movement, head heights
SIDE = 0.8  # distance of a hand at a side from the midline, head heights
TURN = 0.3  # how far the head moves to the side when it turns, head heights
REST_POSITION = (-0.75, 2.6)
REST_HANDSHAPE = (0.3, 0.4, 0.4, 0.4, 0.4, 0.2)

# Columns of a hand's trajectory: x, y, size (approach to the camera), orientation in degrees, then
# the six numbers of a handshape.
HAND_COLUMNS = 10


@dataclass(frozen=True)
class Poses:
    """One row a frame, in image coordinates: head heights from the head's centre."""

    right: np.ndarray  # float [T, HAND_COLUMNS], the dominant hand
    left: np.ndarray  # float [T, HAND_COLUMNS]
    head: np.ndarray  # float [T, 4]: x and y offset, yaw (-1..1), size factor
    brows: np.ndarray  # float [T], raise of the brows (0..1)

    def between(self, moments: np.ndarray) -> "Poses":
        """Mixes neighbouring poses: moments, float [T'], count frames from 0 to T - 1."""
        before = np.minimum(moments.astype(int), len(self.brows) - 2)
        own = [getattr(self, each.name) for each in fields(self)]
        return Poses(*(_mixed(values, before, moments - before) for values in own))


def _mixed(values: np.ndarray, before: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return values[before] * (1 - share) + values[before + 1] * share


def sign_poses(
    signs: list[Sign],
    mode: str,
    signer: Signer,
    generator: np.random.Generator,
    *,
    non_manual: bool = True,
) -> Poses:
    """Computes the poses of a signed sentence; the generator varies each rendering.

    Head and brows show the mode ("statement", "negation" or "question"), if non_manual. The hands
    (and, when drawn, the torso) follow the head's place by 0.3, and are the same otherwise. The
    hands do not follow the turns of the head that belong to signs.
    """
    right, left = [_rest()], [_mirror(_rest())]
    turns: list[tuple[int, int, int]] = []  # first frame, frames, and the sign's turn
    for sign in signs:
        stroke = _stroke(sign, signer, generator)
        other = _mirror(stroke) if sign.hands == "two" else _mirror(_rest(len(stroke)))
        _travel_to(right, left, stroke[0], other[0], signer.speed)
        turns.append((sum(map(len, right)), len(stroke), sign.turn))
        right.append(stroke)
        left.append(other)
    _travel_to(right, left, _rest()[0], _mirror(_rest())[0], signer.speed)
    rights, lefts = np.concatenate(right), np.concatenate(left)
    T = len(rights)
    head, brows = _head(T, mode if non_manual else "statement", signer, generator)
    _sway(rights, lefts, head, generator)
    for start, frames, turn in turns if non_manual else ():
        swing = turn * np.sin(np.pi * np.linspace(0, 1, frames))
        head[start : start + frames, 0] += TURN * swing
        head[start : start + frames, 2] += swing
    return Poses(rights, lefts, head, brows)


def rest_poses(
    length: int, before: np.ndarray, after: np.ndarray, generator: np.random.Generator
) -> Poses:
    """Computes the poses of hands at rest between two sentences.

    Args:
        length: T, frames of the rest.
        before: Head, float [4], in the frame before it.
        after: Head, float [4], in the frame after it; it moves there steadily.
        generator: Varies each rendering.
    """
    right, left = _rest(length), _mirror(_rest(length))
    share = (np.arange(1, length + 1) / (length + 1))[:, None]
    head = before + share * (after - before)
    _sway(right, left, head, generator)
    return Poses(right, left, head, np.zeros(length))


def _sway(
    right: np.ndarray, left: np.ndarray, head: np.ndarray, generator: np.random.Generator
) -> None:
    """Lets both hands tremble, and follow the head a little."""
    jitter = 0.012 * generator.standard_normal((2, len(head), 2))
    for hand, shake in zip((right, left), jitter, strict=True):
        hand[:, :2] += shake + head[:, :2] * 0.3


def _rest(length: int = 1) -> np.ndarray:
    return np.tile(np.array([*REST_POSITION, 1.0, 150.0, *REST_HANDSHAPE]), (length, 1))


def _mirror(hand: np.ndarray) -> np.ndarray:
    """Returns the trajectory on the other side of the body; [T, HAND_COLUMNS]."""
    mirrored = hand.copy()
    mirrored[:, 0] *= -1
    mirrored[:, 3] *= -1
    return mirrored


def _stroke(sign: Sign, signer: Signer, generator: np.random.Generator) -> np.ndarray:
    """Returns the dominant hand's trajectory within one sign, [frames, HAND_COLUMNS]."""
    repeated = sign.movement in ("circle", "reverse_circle", "shake", "tap")
    base = REPEATED_STROKE_FRAMES if repeated else STROKE_FRAMES
    frames = max(4, round(base / (signer.speed * generator.uniform(0.9, 1.1))))
    time = np.linspace(0.0, 1.0, frames)
    x, y, size = _movement(sign.movement, time)
    length = STROKE_LENGTH * signer.amplitude * generator.uniform(0.9, 1.1)
    place = LOCATIONS[sign.location]
    location = np.array((sign.side * SIDE, place[1]) if sign.side else place)
    location = location + signer.location_offset
    location = location + generator.normal(0.0, 0.04, 2)
    stroke = np.empty((frames, HAND_COLUMNS))
    stroke[:, 0] = location[0] + length * x
    stroke[:, 1] = location[1] + length * y
    stroke[:, 2] = size
    stroke[:, 3] = sign.orientation + generator.normal(0.0, 6.0)
    stroke[:, 4:] = HANDSHAPES[sign.handshape]
    return stroke


def _movement(movement: str, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the hand's offset x, y (in half stroke lengths) and size at times 0..1."""
    zero, one = np.zeros_like(time), np.ones_like(time)
    sweep = 2 * _ease(time) - 1
    turn = 2 * np.pi * 1.25 * time
    return {
        "up": (zero, -sweep, one),
        "down": (zero, sweep, one),
        "outward": (-sweep, zero, one),
        "inward": (sweep, zero, one),
        "forward": (zero, 0.3 * sweep, 1.25 + 0.35 * sweep),
        "circle": (0.7 * np.sin(turn), -0.7 * np.cos(turn), one),
        "reverse_circle": (-0.7 * np.sin(turn), -0.7 * np.cos(turn), one),
        "shake": (0.6 * np.sin(2.25 * 2 * np.pi * time), zero, one),
        "tap": (zero, 0.5 * np.cos(2 * 2 * np.pi * time), one),
        "arc": (-sweep, 0.9 * (sweep**2 - 1), one),
    }[movement]


def _ease(time: np.ndarray) -> np.ndarray:
    """Eases time partly: hands slow down at the ends but never stop."""
    return 0.5 * time + 0.5 * (3 * time**2 - 2 * time**3)


def _travel_to(
    right: list[np.ndarray],
    left: list[np.ndarray],
    right_goal: np.ndarray,
    left_goal: np.ndarray,
    speed: float,
) -> None:
    """Appends the frames in which both hands travel, and change shape, to the next sign's start."""
    starts, goals = (right[-1][-1], left[-1][-1]), (right_goal, left_goal)
    distance = max(np.hypot(*(goal - start)[:2]) for start, goal in zip(starts, goals, strict=True))
    frames = int(np.clip(round(distance / (TRAVEL_SPEED * speed)), 1, 4))
    share = (np.arange(1, frames + 1) / (frames + 1))[:, None]
    for hand, start, goal in zip((right, left), starts, goals, strict=True):
        hand.append(start + share * (goal - start))


def _head(
    length: int, mode: str, signer: Signer, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Head movement [T, 4] and brows [T] of a mode, on top of the signer's idle sway."""
    frame = np.arange(length)
    phase = generator.uniform(0, 2 * np.pi, 2)
    head = np.zeros((length, 4))
    head[:, 0] = signer.sway * np.sin(0.25 * frame + phase[0])
    head[:, 1] = 0.5 * signer.sway * np.sin(0.31 * frame + phase[1])
    head[:, 3] = 1.0
    brows = np.zeros(length)
    if mode == "statement":
        return head, brows
    size = signer.amplitude * generator.uniform(0.9, 1.1)
    held = np.clip(np.minimum(frame, length - 1 - frame) / 2, 0, 1)
    beat = held * size * np.sin(2 * np.pi * frame * signer.speed / 5.5 + phase[0])
    if mode == "negation":  # headshake, brows lowered
        head[:, 0] += 0.1 * beat
        head[:, 2] = beat
        brows -= 0.5 * held
    else:  # question: head forward and nodding, brows raised
        head[:, 1] += 0.12 * size * held + 0.1 * beat
        head[:, 3] += 0.12 * size * held
        brows += held
    return head, brows
