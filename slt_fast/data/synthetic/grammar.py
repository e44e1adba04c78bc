"""A small grammar: glosses in sign order, English text in its own, mode shown by head and face.

Sign order is time, place, subject, object, adjective, verb (topic first, verb last); English puts
subject and verb first, the adjective before its noun, place and time last. Negation (a headshake)
and the yes-no question (raised brows, the head forward and nodding) have no gloss: only head and
face show them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MODES = ("statement", "negation", "question")
MODE_WEIGHTS = (0.5, 0.25, 0.25)
# Of the corpus with agreement: a headshake would hide the turns of the head.
AGREEMENT_MODE_WEIGHTS = (0.6, 0.0, 0.4)

TIMES = {"YESTERDAY": "yesterday", "TODAY": "today", "TOMORROW": "tomorrow"}
PLACES = {"SCHOOL": "at the school", "CITY": "in the city", "PARK": "in the park"}
SUBJECTS = {
    "I": "i",
    "YOU": "you",
    "MOTHER": "the mother",
    "FATHER": "the father",
    "DOCTOR": "the doctor",
    "FRIEND": "the friend",
    "CHILD": "the child",
    "TEACHER": "the teacher",
}
OBJECTS = {
    "BOOK": "book",
    "HOUSE": "house",
    "APPLE": "apple",
    "BREAD": "bread",
    "CAR": "car",
    "DOG": "dog",
    "FLOWER": "flower",
}
ADJECTIVES = {"RED": "red", "GOOD": "good", "NEW": "new", "OLD": "old"}
# base, third person, past
TRANSITIVE = {
    "SEE": ("see", "sees", "saw"),
    "FIND": ("find", "finds", "found"),
    "BUY": ("buy", "buys", "bought"),
    "BRING": ("bring", "brings", "brought"),
    "LIKE": ("like", "likes", "liked"),
    "WANT": ("want", "wants", "wanted"),
}
INTRANSITIVE = {
    "SLEEP": ("sleep", "sleeps", "slept"),
    "REST": ("rest", "rests", "rested"),
    "WORK": ("work", "works", "worked"),
    "DANCE": ("dance", "dances", "danced"),
}
ROLES: dict[str, Mapping[str, Any]] = {
    "time": TIMES,
    "place": PLACES,
    "subject": SUBJECTS,
    "object": OBJECTS,
    "adjective": ADJECTIVES,
    "transitive": TRANSITIVE,
    "intransitive": INTRANSITIVE,
}

# Sentence patterns of 2 to 6 signs, in sign order.
PATTERNS = (
    ("subject", "intransitive"),
    ("time", "subject", "intransitive"),
    ("place", "subject", "intransitive"),
    ("subject", "object", "transitive"),
    ("time", "place", "subject", "intransitive"),
    ("subject", "object", "adjective", "transitive"),
    ("time", "subject", "object", "transitive"),
    ("time", "subject", "object", "adjective", "transitive"),
    ("time", "place", "subject", "object", "adjective", "transitive"),
)
PATTERN_WEIGHTS = (0.1, 0.12, 0.12, 0.16, 0.1, 0.14, 0.12, 0.08, 0.06)


@dataclass(frozen=True)
class Sentence:
    """Glosses in sign order, the mode shown by head and face, and the English text."""

    glosses: tuple[str, ...]
    mode: str
    text: str


def draw_sentence(generator: np.random.Generator, *, agreement: bool = False) -> Sentence:
    """Draws a random sentence; with agreement no negation."""
    pattern = PATTERNS[generator.choice(len(PATTERNS), p=PATTERN_WEIGHTS)]
    roles = {role: str(generator.choice(list(ROLES[role]))) for role in pattern}
    weights = AGREEMENT_MODE_WEIGHTS if agreement else MODE_WEIGHTS
    mode = str(generator.choice(MODES, p=weights))
    return Sentence(tuple(roles.values()), mode, english(roles, mode))


def english(roles: dict[str, str], mode: str) -> str:
    """Returns the English text of a sentence, given the gloss of each role, and one of MODES."""
    subject = SUBJECTS[roles["subject"]]
    first, verb = _verb_group(roles, mode)
    words = [first, subject, *verb] if mode == "question" else [subject, *verb]
    if "object" in roles:
        adjective = [ADJECTIVES[roles["adjective"]]] if "adjective" in roles else []
        words += ["the", *adjective, OBJECTS[roles["object"]]]
    if "place" in roles:
        words.append(PLACES[roles["place"]])
    if "time" in roles:
        words.append(TIMES[roles["time"]])
    words.append("?" if mode == "question" else ".")
    return " ".join(words)


def _verb_group(roles: dict[str, str], mode: str) -> tuple[str, list[str]]:
    """Returns the auxiliary that begins a question, and the words between subject and object."""
    verbs = TRANSITIVE if "transitive" in roles else INTRANSITIVE
    base, third, past = verbs[roles.get("transitive") or roles["intransitive"]]
    third_person = roles["subject"] not in ("I", "YOU")
    auxiliary, finite = {
        "YESTERDAY": ("did", [past]),
        "TOMORROW": ("will", ["will", base]),
    }.get(roles.get("time", ""), ("does", [third]) if third_person else ("do", [base]))
    if mode == "statement":
        return auxiliary, finite
    return auxiliary, [auxiliary, "not", base] if mode == "negation" else [base]
