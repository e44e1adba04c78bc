from pathlib import Path

import pytest
import torch

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.glosses import drop_glosses, gloss_numbers
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset
from slt_fast.data.sources import read_split
from slt_fast.data.vocabulary import UNKNOWN_GLOSS
from slt_fast.errors import DataError

GLOSS = InputConfig(input="gloss")
HEADER = "name|video|start|end|speaker|orth|translation"
ROWS = [
    "a-1|a-1/1/*.png|-1|-1|Signer08|REGEN NORD REGEN|im norden regen",
    "a-2|a-2/1/*.png|-1|-1|Signer01|SONNE|sonne",
    "b-7|b-7/1/*.png|-1|-1|Signer08|MORGEN WOLKE|morgen wölkt es sich ein",
]


@pytest.fixture
def annotations(tmp_path: Path) -> str:
    """PHOENIX-2014-T's annotations, without any frame."""
    folder = tmp_path / "annotations" / "manual"
    folder.mkdir(parents=True)
    path = folder / "PHOENIX-2014-T.train.corpus.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    return f"phoenix14t:{tmp_path}"


def manifest(folder: Path, *rows: str) -> str:
    path = folder / "manifest.csv"
    header = "id,video,gloss,text,start_seconds"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return f"manifest:{path}"


def test_annotations_alone_are_enough(annotations: str) -> None:
    clips = read_split(annotations, "train", needs_frames=False)
    assert [clip.id for clip in clips] == ["a-1", "a-2", "b-7"]
    dataset, words = ClipDataset(clips, config=GLOSS), Vocabularies.build(clips)
    assert dataset.num_frames() == [3, 1, 2] and dataset.num_workers(8) == 0
    (batch,) = batches(dataset, BatchMaker(words, GLOSS), [[2, 0]])
    assert batch.images.dtype == torch.long and batch.lengths.tolist() == [2, 3]
    assert words.gloss.decode(batch.images.tolist()) == "MORGEN WOLKE REGEN NORD REGEN"
    assert [words.decode_text(row[1:].tolist()) for row in batch.text] == [
        "morgen wölkt es sich ein",
        "im norden regen",
    ]
    assert batch.gloss_lengths.tolist() == [0, 0]  # there is none to recognise
    with pytest.raises(DataError, match="no frames of split 'train'"):
        read_split(annotations, "train")


def test_a_manifest_names_videos_that_need_not_exist(tmp_path: Path) -> None:
    data = manifest(tmp_path, "a,gone.mp4,SONNE,sonne,0.5", "b,../b.mp4,REGEN,regen,")
    errors: list[DataError] = []
    clips = read_split(data, "train", needs_frames=False, on_error=errors.append)
    assert [(clip.id, clip.glosses) for clip in clips] == [("a", ("SONNE",))]
    assert "'../b.mp4'; expected a path inside" in str(errors[0])
    with pytest.raises(DataError, match=r"'gone\.mp4', which does not exist"):
        read_split(data, "train")


def test_a_clip_without_glosses_is_named(tmp_path: Path) -> None:
    rows = ("a,a.mp4,SONNE,sonne,", "b,b.mp4, ,regen,")
    clips = read_split(manifest(tmp_path, *rows), "train", needs_frames=False)
    dataset = ClipDataset(clips, config=GLOSS)
    message = r"manifest\.csv:3: found no glosses of clip 'b'; expected at least one"
    with pytest.raises(DataError, match=message):
        dataset.num_frames()
    (batch,) = batches(dataset, BatchMaker(Vocabularies.build(clips), GLOSS), [[0, 1]])
    assert [clip.id for clip in batch.clips] == ["a"] and batch.is_good == (True, False)
    assert "manifest.csv:3: found no glosses of clip 'b'" in str(batch.errors[0])


def test_glosses_that_training_does_not_have_are_unknown(annotations: str) -> None:
    words = Vocabularies.build(read_split(annotations, "train", needs_frames=False))
    found = gloss_numbers(("REGEN", "HAGEL"), words.gloss).tolist()
    assert found == [words.gloss.tokens.index("REGEN"), UNKNOWN_GLOSS]


def test_dropped_glosses_depend_on_seed_epoch_and_clip_only(annotations: str) -> None:
    clips = read_split(annotations, "train", needs_frames=False) * 20
    dataset, words = ClipDataset(clips, config=GLOSS), Vocabularies.build(clips)

    def numbers(epoch: int, groups: list[list[int]], seed: int = 0) -> torch.Tensor:
        maker = BatchMaker(words, GLOSS, AugmentationConfig(gloss_dropout=0.3), seed)
        made = batches(dataset, maker, groups, epoch=epoch)
        return torch.cat([batch.images for batch in made])

    whole, numbers_of_clips = [list(range(60))], [[clip] for clip in range(60)]
    first = numbers(0, whole)
    assert torch.equal(first, numbers(0, numbers_of_clips))
    others = (numbers(1, whole), numbers(0, whole, seed=1))
    assert all(not torch.equal(first, other) for other in others)
    (plain,) = batches(dataset, BatchMaker(words, GLOSS), whole)
    is_kept = first != UNKNOWN_GLOSS
    assert torch.equal(first[is_kept], plain.images[is_kept])
    assert 0.5 < is_kept.float().mean() < 0.9


def test_the_share_of_dropped_glosses() -> None:
    numbers = torch.full((10_000,), 7)
    dropped = drop_glosses(numbers, 0.2, torch.Generator().manual_seed(0))
    assert set(dropped.tolist()) == {7, UNKNOWN_GLOSS}
    assert 1800 < (dropped == UNKNOWN_GLOSS).sum() < 2200
