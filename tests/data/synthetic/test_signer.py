from dataclasses import fields

from slt_fast.data.synthetic.signer import BACKGROUNDS, Signer, draw_signer

SIGNERS = [draw_signer(0, index) for index in range(40)]


def test_signers_differ_in_every_trait() -> None:
    for field in fields(Signer):
        values = {getattr(signer, field.name) for signer in SIGNERS}
        assert len(values) == (len(BACKGROUNDS) if field.name == "backdrop" else 40), field.name


def test_same_seed_same_signer() -> None:
    assert draw_signer(0, 7) == SIGNERS[7]
    assert draw_signer(1, 7) != SIGNERS[7]
    assert draw_signer(1, 7).name == SIGNERS[7].name


def test_some_clothes_are_striped_and_some_are_not() -> None:
    assert 5 < sum(signer.clothes_stripe == signer.clothes for signer in SIGNERS) < 35
