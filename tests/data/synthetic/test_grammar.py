from functools import cache
from itertools import product

import numpy as np
import pytest

from slt_fast.data.synthetic.grammar import (
    MODES,
    PATTERN_WEIGHTS,
    PATTERNS,
    ROLES,
    draw_sentence,
    english,
)

SENTENCES = [
    ("I SLEEP", "i sleep .", "i do not sleep .", "do i sleep ?"),
    (
        "TODAY CHILD APPLE WANT",
        "the child wants the apple today .",
        "the child does not want the apple today .",
        "does the child want the apple today ?",
    ),
    (
        "YESTERDAY CITY MOTHER CAR RED BUY",
        "the mother bought the red car in the city yesterday .",
        "the mother did not buy the red car in the city yesterday .",
        "did the mother buy the red car in the city yesterday ?",
    ),
    (
        "TOMORROW YOU BOOK FIND",
        "you will find the book tomorrow .",
        "you will not find the book tomorrow .",
        "will you find the book tomorrow ?",
    ),
]


def roles_of(glosses: str) -> dict[str, str]:
    role_of = {gloss: role for role, words in ROLES.items() for gloss in words}
    return {role_of[gloss]: gloss for gloss in glosses.split()}


@cache
def all_sentences() -> list[tuple[tuple[str, ...], str, str]]:
    """(glosses, mode, text) of every sentence of the grammar."""
    sentences = []
    for pattern in PATTERNS:
        for glosses in product(*(ROLES[role] for role in pattern)):
            roles = dict(zip(pattern, glosses, strict=True))
            sentences += [(glosses, mode, english(roles, mode)) for mode in MODES]
    return sentences


@pytest.mark.parametrize(("glosses", "statement", "negation", "question"), SENTENCES)
def test_one_line_of_glosses_has_three_texts(glosses, statement, negation, question) -> None:
    assert tuple(roles_of(glosses)) in PATTERNS
    assert [english(roles_of(glosses), mode) for mode in MODES] == [statement, negation, question]


def test_patterns_have_two_to_six_signs() -> None:
    assert {len(pattern) for pattern in PATTERNS} == {2, 3, 4, 5, 6}
    assert len(PATTERN_WEIGHTS) == len(PATTERNS)
    assert min(PATTERN_WEIGHTS) > 0


def test_every_sentence_says_something_else() -> None:
    sentences = all_sentences()
    assert len(sentences) >= 2000
    assert len({text for _, _, text in sentences}) == len(sentences)
    assert len({(glosses, mode) for glosses, mode, _ in sentences}) == len(sentences)


def test_text_order_differs_from_sign_order() -> None:
    """Of all sentences but those of subject and verb, no statement keeps the signs' order."""
    first_words = {
        gloss: {form.split()[-1] for form in ([words] if isinstance(words, str) else words)}
        for role in ROLES.values()
        for gloss, words in role.items()
    }
    reordered = 0
    sentences = [(glosses, text) for glosses, mode, text in all_sentences() if mode == "statement"]
    for glosses, text in sentences:
        words = text.split()
        places = [
            next(number for number, word in enumerate(words) if word in first_words[gloss])
            for gloss in glosses
        ]
        assert len(set(places)) == len(glosses)
        reordered += places != sorted(places)
        assert places != sorted(places) or len(glosses) == 2
    assert reordered / len(sentences) > 0.9


def test_draws_follow_the_generator_and_cover_the_grammar() -> None:
    def draw(seed: int) -> list:
        generator = np.random.default_rng(seed)
        return [draw_sentence(generator) for _ in range(500)]

    drawn = draw(3)
    assert drawn == draw(3)
    assert drawn != draw(4)
    assert {sentence.mode for sentence in drawn} == set(MODES)
    assert {len(sentence.glosses) for sentence in drawn} == {2, 3, 4, 5, 6}
    assert {gloss for sentence in drawn for gloss in sentence.glosses} == {
        gloss for role in ROLES.values() for gloss in role
    }
    known = {(glosses, mode): text for glosses, mode, text in all_sentences()}
    assert all(known[sentence.glosses, sentence.mode] == sentence.text for sentence in drawn)
