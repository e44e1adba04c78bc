from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network
from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.loading import ClipDataset
from slt_fast.data.sources import read_split
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError
from slt_fast.inference.translate import Translation
from slt_fast.recipe import SearchConfig
from slt_fast.training import evaluation
from slt_fast.training.evaluation import Evaluation, evaluate, score
from slt_fast.training.losses import counts_of, translation_loss

GREEDY = SearchConfig(beam_size=1, max_text_length=8)
TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)


@pytest.fixture
def clips(manifest: Path) -> list[AnnotatedClip]:
    return read_split(f"manifest:{manifest}", "train")


@pytest.fixture
def trained(tiny_recipe, clips) -> TrainedModel:
    vocabularies = Vocabularies.build(clips)
    return TrainedModel(
        build_network(tiny_recipe, vocabularies), tiny_recipe, vocabularies, TRAINED_ON
    )


@pytest.fixture
def oracle(monkeypatch) -> list[int]:
    """A model that is always right; gives the sizes of the batches it was asked for."""
    sizes = []

    def translate(trained, batch, *, search, encoded):
        assert not trained.network.training
        sizes.append(len(batch.clips))
        return [Translation(clip.text, clip.glosses or ()) for clip in batch.clips]

    monkeypatch.setattr(evaluation, "translate_batch", translate)
    return sizes


def test_translates_every_clip_in_order(trained, clips) -> None:
    trained.network.train()
    result = evaluate(
        trained,
        ClipDataset(clips),
        search=SearchConfig(beam_size=2, max_text_length=8),
    )
    assert result.clips == clips and len(result.translations) == len(clips)
    assert len(result.clips) == len(clips)
    assert 0 <= result.scores["bleu4"].value <= 100 and "wer" in result.scores
    assert trained.network.training  # as it was
    trained.network.eval()
    evaluate(trained, ClipDataset(clips[:1]), search=GREEDY)
    assert not trained.network.training


def test_no_more_frames_at_once_than_in_training(trained, clips) -> None:
    """A clip that cannot be read is no frame."""
    gone = replace(clips[1], source=VideoSource(Path("gone.mp4")))
    dataset = ClipDataset([clips[0], gone, *clips[2:]])
    whole, errors = evaluate(trained, dataset, search=GREEDY, on_error=[].append), []
    settings = replace(trained.recipe.training, batch_size=5, frames_at_once=30)
    recipe, sizes = replace(trained.recipe, training=settings), []
    trained.network.encoder.register_forward_hook(
        lambda _, given, result: sizes.append(given[1].tolist())
    )
    few = evaluate(replace(trained, recipe=recipe), dataset, search=GREEDY, on_error=errors.append)
    assert few.translations == whole.translations and len(errors) == 1
    assert sizes == packed_lengths(dataset, 30) and max(map(len, sizes)) > 1
    assert few.losses == pytest.approx(whole.losses, rel=1e-4)


def packed_lengths(dataset: ClipDataset, most: int) -> list[list[int]]:
    """Frames of the clips of each batch, by hand."""
    groups: list[list[int]] = [[]]
    for frames in filter(None, dataset.num_frames(on_error=lambda _: None)):
        if groups[-1] and sum(groups[-1]) + frames > most:
            groups.append([])
        groups[-1].append(frames)
    return groups


def test_the_right_sentence_scores_full(trained, clips, oracle) -> None:
    result = evaluate(trained, ClipDataset(clips * 2), search=GREEDY)
    flat = result.flat("dev")
    assert flat["dev.bleu4_low"] == flat["dev.bleu4_high"] == pytest.approx(100)
    assert (flat["dev.bleu4"], flat["dev.wer"]) == (pytest.approx(100), 0)
    assert flat["dev.exact_match"] == 100
    assert oracle == [trained.recipe.training.batch_size] * len(clips)


def test_losses_are_those_of_training_without_dropout(trained, clips) -> None:
    """Of unequal batches, against one batch of all clips."""
    recipe = trained.recipe
    exact = replace(recipe, training=replace(recipe.training, precision="float32"))
    trained = replace(trained, recipe=exact)
    result = evaluate(trained, ClipDataset(clips), search=GREEDY)
    maker = BatchMaker(trained.vocabularies, trained.recipe.input)
    batch = next(batches(ClipDataset(clips), maker, [range(len(clips))]))
    network = trained.network.eval()
    with torch.no_grad():
        output = network(batch.images, batch.lengths, batch.text)
    counts = counts_of(clips, trained.vocabularies)
    smoothing = trained.recipe.training.label_smoothing
    _, expected = translation_loss(
        output,
        batch.glosses,
        batch.gloss_lengths,
        batch.text,
        counts,
        label_smoothing=smoothing,
    )
    assert result.losses == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-5)
    assert result.flat("dev")["dev.text"] == result.losses["text"] == result.value("text")
    unglossed = [replace(clip, glosses=None) for clip in clips]
    assert evaluate(trained, ClipDataset(unglossed), search=GREEDY).losses.keys() == {"text"}


def test_unknown_glosses_that_ctc_cannot_align_have_no_share_in_its_loss(trained, clips) -> None:
    """Each of them is one token, so that two need a frame more than two known ones."""
    (frames, *_) = ClipDataset(clips).num_frames()
    unknown = replace(clips[0], glosses=tuple(f"X{number}" for number in range(frames)))
    found = evaluate(trained, ClipDataset([unknown, *clips[1:]]), search=GREEDY)
    others = evaluate(trained, ClipDataset(clips[1:]), search=GREEDY)
    assert found.losses["ctc"] == pytest.approx(others.losses["ctc"], rel=1e-2)
    assert len(found.clips) == len(clips) and "wer" in found.scores
    assert evaluate(trained, ClipDataset([unknown]), search=GREEDY).losses.keys() == {"text"}


def test_a_bad_clip_stops_or_is_listed(trained, clips, oracle) -> None:
    bad = replace(clips[0], id="bad", source=VideoSource("missing.mp4"))
    dataset = ClipDataset([clips[1], bad, clips[2]])
    with pytest.raises(DataError, match=r"missing\.mp4: found no such file"):
        evaluate(trained, dataset, search=GREEDY)
    errors: list[DataError] = []
    result = evaluate(trained, dataset, search=GREEDY, on_error=errors.append)
    assert result.clips == clips[1:3] and len(result.translations) == 2
    assert [str(error.path) for error in errors] == ["missing.mp4"]
    assert result.flat("a")["a.exact_match"] == 100 and result.flat("a")["a.num_clips"] == 2


def test_nothing_to_score(trained, clips, oracle) -> None:
    bad = replace(clips[0], source=VideoSource("missing.mp4"))
    with pytest.raises(ValueError, match="expected .* at least one"):
        evaluate(trained, ClipDataset([bad]), search=GREEDY, on_error=[].append)


def test_warns_of_a_model_that_always_says_the_same(trained, clips, oracle, caplog) -> None:
    for said in (clips[:1] * 2 + clips[1:3], clips[:1]):
        evaluate(trained, ClipDataset(said), search=GREEDY)
        assert not caplog.records
    said = clips[:1] * 3 + clips[1:3]
    evaluate(trained, ClipDataset(said), search=GREEDY)
    assert "more than half of the train translations are the same sentence" in caplog.text


def test_memory_that_runs_out_names_the_clips(trained, clips, monkeypatch) -> None:
    def full(*_: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trained.network, "encode", full)
    message = r"^clips clip0, clip1: found \d+ frames, more than the memory of cpu holds; expected"
    with pytest.raises(ValueError, match=message):
        evaluate(trained, ClipDataset(clips), search=GREEDY)


def clip(text: str, glosses: tuple[str, ...] | None) -> AnnotatedClip:
    return AnnotatedClip("a", VideoSource("a"), text, glosses, None, "test", "list:1")


def test_score_is_against_the_annotation_itself() -> None:
    """Words the vocabulary does not know count as errors; case and final dot do not."""
    clips = [clip("Ein Hund schläft", ("HUND",)), clip("es regnet .", None)]
    said = [Translation("ein hund schläft .", ("KATZE", "HUND")), Translation("es regnet", ("X",))]
    scores = score(clips, said)
    assert scores["exact_match"].value == 100
    assert (
        scores["wer"].value == 100
    )  # one insertion for one gloss; clips without glosses are left out
    assert Evaluation(scores, clips, said).most_common_share() == 0.5
    assert score(clips, [said[1], said[1]])["exact_match"].value == 50


def test_phoenix_glosses_are_scored_after_the_data_sets_clean_up() -> None:
    plain = clip("regen", ("loc-NORD", "__ON__", "REGEN", "REGEN"))
    said = [Translation("regen", ("NORD", "REGEN-PLUSPLUS"))]
    assert score([plain], said)["wer"].value == 100
    assert score([replace(plain, gloss_convention="phoenix14t")], said)["wer"].value == 0


def test_no_wer_without_glosses() -> None:
    assert "wer" not in score([clip("a", None)], [Translation("a", ())])
