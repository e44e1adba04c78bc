from dataclasses import fields, replace
from itertools import combinations

import pytest

from slt_fast.data.synthetic.grammar import ROLES
from slt_fast.data.synthetic.signs import (
    AGREEMENT_PAIRS,
    HANDSHAPES,
    LEXICON,
    LOCATIONS,
    Sign,
    agreeing_sign,
    sign_for,
)


def difference(first: Sign, second: Sign) -> set[str]:
    """The parameters in which two signs differ."""
    names = {field.name for field in fields(Sign)}
    return {name for name in names if getattr(first, name) != getattr(second, name)}


def test_lexicon_is_what_the_grammar_says() -> None:
    glosses = [gloss for role in ROLES.values() for gloss in role]
    assert len(glosses) >= 30
    assert sorted(glosses) == sorted(LEXICON)


@pytest.mark.parametrize("parameter", ["handshape", "location", "movement", "hands"])
def test_minimal_pairs_in_each_parameter(parameter: str) -> None:
    pairs = [
        names
        for names in combinations(LEXICON, 2)
        if difference(*map(LEXICON.get, names)) == {parameter}
    ]
    assert len(pairs) >= 2


def test_no_two_glosses_share_a_sign() -> None:
    assert all(difference(*pair) for pair in combinations(LEXICON.values(), 2))


def test_handshapes_differ() -> None:
    assert len(set(HANDSHAPES.values())) == len(HANDSHAPES)
    assert {len(numbers) for numbers in HANDSHAPES.values()} == {6}


# By hash: the frames rendered for a data set on one machine are those of any other.
HASHED = {
    "REGEN": Sign("fist", "forehead", "reverse_circle", "two", -45.0),
    "loc-NORD": Sign("fist", "chin", "up", "two", 45.0),
    "WOLKE": Sign("flat", "forehead", "inward", "one", 45.0),
    "ÖSTERREICH": Sign("horns", "belly", "tap", "two", 45.0),
}


@pytest.mark.parametrize(("gloss", "sign"), HASHED.items())
def test_other_glosses_map_to_signs_by_a_stable_hash(gloss: str, sign: Sign) -> None:
    assert sign_for(gloss) == sign


def test_lexicon_goes_before_the_hash() -> None:
    assert sign_for("MOTHER") is LEXICON["MOTHER"]


def test_hashed_signs_use_every_value() -> None:
    signs = [sign_for(f"GLOSS{number}") for number in range(400)]
    assert {sign.handshape for sign in signs} == set(HANDSHAPES)
    assert {sign.hands for sign in signs} == {"one", "two"}
    assert len(set(signs)) > 300


def test_unknown_parameter() -> None:
    with pytest.raises(ValueError, match=r"found 'claw'; expected \('fist', 'index'"):
        Sign("claw", "chin", "tap")
    with pytest.raises(ValueError, match="found 'sideways'; expected"):
        Sign("fist", "chin", "sideways")


def test_glosses_of_a_pair_need_both_side_and_turn() -> None:
    for pair in AGREEMENT_PAIRS:
        signs = [agreeing_sign(gloss, side) for gloss in pair for side in (-1, 1)]
        assert [(sign.side, sign.turn) for sign in signs] == [(-1, -1), (1, 1), (-1, 1), (1, -1)]
        assert len({replace(sign, side=0, turn=0) for sign in signs}) == 1
        assert signs[0].hands == "one"


def test_agreeing_signs_are_not_confused() -> None:
    """They are at the same distance from the midline, so they differ in something else."""
    glosses = [gloss for gloss in LEXICON if gloss not in {away for _, away in AGREEMENT_PAIRS}]
    signs = [replace(agreeing_sign(gloss, 1), turn=0) for gloss in glosses]
    heights = [replace(sign, location="chin") if sign.side else sign for sign in signs]
    places = [LOCATIONS[sign.location][1] for sign in signs]
    assert len(set(zip(heights, places, strict=True))) == len(glosses)
    assert agreeing_sign("DOCTOR", -1) == sign_for("DOCTOR")
