import csv
import json
import random
import re
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from slt_fast.metrics.paired import paired_test
from slt_fast.metrics.sentences import sentence_errors, sentence_scores

SAID = ["ein hund schläft", "", "es regnet heute stark im norden", "guten abend"]
TRUE = ["ein hund schläft", "die katze", "es regnet morgen stark im norden .", "guten abend !"]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list:
    said, true = write(tmp_path / "said.txt", SAID), write(tmp_path / "true.txt", TRUE)
    return ["--hypotheses", said, "--references", true]


def scored(run_script, *arguments: object) -> dict:
    finished = run_script("score.py", *arguments, "--json")
    assert finished.status == 0, finished.err
    return json.loads(finished.out.splitlines()[-1])


def test_the_communitys_scores(run_script, shared_data: Path) -> None:
    folder = shared_data / "phoenix14t"
    parity = folder / "parity"
    parity_scores = json.loads((parity / "expected.json").read_text(encoding="utf-8"))["dev"]
    found = scored(
        run_script, "--hypotheses", parity / "dev.hyp", "--references", parity / "dev.ref"
    )
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf"):
        assert found[name] == pytest.approx(parity_scores["dot"][name], abs=0.01)
        assert found["no_dot"][name] == pytest.approx(parity_scores["no_dot"][name], abs=0.01)
    assert found["signature"].startswith("nrefs:1|case:lc|") and len(found["interval"]) == 2
    recognised, true = folder / "stmc/stmc.dev.gloss", folder / "nslt/phoenix2014T.dev.gloss"
    found = scored(run_script, "--hypotheses", recognised, "--references", true, "--glosses")
    names = {"wer": "wer", "del": "del_rate", "ins": "ins_rate", "sub": "sub_rate"}
    for name, other in names.items():
        assert found[name] == pytest.approx(parity_scores["stmc_wer"][other], abs=0.01)
        assert found["raw"][name] == pytest.approx(parity_scores["stmc_wer_raw"][other], abs=0.01)


def test_sentences_in_a_table(run_script, files: list, tmp_path: Path) -> None:
    path = tmp_path / "sentences.csv"
    scored(run_script, *files, "--per-sentence", path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["hypothesis"] for row in rows] == SAID
    assert [row["reference"] for row in rows] == TRUE and rows[2]["line"] == "3"
    assert float(rows[0]["bleu4"]) == pytest.approx(100) and float(rows[1]["chrf"]) < 20  # the dot
    bleu = BLEU(lowercase=True, force=True, effective_order=True)
    assert float(rows[2]["bleu4"]) == pytest.approx(
        bleu.sentence_score(f"{SAID[2]} .", [TRUE[2]]).score
    )
    scored(run_script, *files, "--per-sentence", path, "--glosses")
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["deletions"] for row in csv.DictReader(file)] == ["0", "2", "1", "1"]


@pytest.mark.parametrize("option", ["--hypotheses", "--references", "--against"])
def test_its_own_input_is_not_overwritten(run_script, files, tmp_path, option: str) -> None:
    kept = write(tmp_path / "kept.txt", SAID)
    (tmp_path / "link").symlink_to(kept)
    for path in (kept, tmp_path / "link"):
        given = [*files, option, kept, "--per-sentence", path]
        finished = run_script("score.py", *given)
        found = f"error: --per-sentence: found {path}, which belongs to {option}; expected another"
        assert finished.status == 1 and found in finished.err
    assert kept.read_text(encoding="utf-8").splitlines() == SAID


def test_two_systems(run_script, files: list, tmp_path: Path) -> None:
    same, worse = tmp_path / "same.txt", tmp_path / "worse.txt"
    references = write(tmp_path / "many.txt", TRUE * 20)
    said = write(tmp_path / "many_said.txt", SAID * 20)
    write(same, SAID * 20)
    write(worse, ["es schneit", *SAID[1:3], "gute nacht"] * 20)
    both = ["--hypotheses", said, "--references", references]
    found = scored(run_script, *both, "--against", same)["against"]
    assert found["bleu4"]["first"] == found["bleu4"]["second"]
    assert found["bleu4"]["p_value"] == found["chrf"]["p_value"] == 1
    better = scored(run_script, *both, "--against", worse)
    found = better["against"]
    assert found["bleu4"]["first"] == pytest.approx(better["bleu4"])
    assert found["bleu4"]["second"] < found["bleu4"]["first"]
    assert found["bleu4"]["p_value"] < 0.01 and found["chrf"]["p_value"] < 0.01
    assert "ar:10000" in found["bleu4"]["signature"]


def test_few_sentences_that_differ_tell_little() -> None:
    """Of one, both swaps have the same difference; of three, two of eight."""
    references = TRUE * 5
    for differing, expected in ((1, 1.0), (3, 0.25)):
        others = ["etwas anderes"] * differing + references[differing:]
        found = paired_test(references, others, references)
        for difference in found.values():
            assert difference.p_value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("change", [(" ,", ","), (" ", "  "), ("ein ", "EIN ")])
def test_systems_that_differ_in_spelling_only_do_not_differ(change: tuple[str, str]) -> None:
    """What scores do not see is no difference, in however many sentences."""
    references = ["es regnet , aber ein wenig", "ein hund , der schläft ,"] * 20
    said = [text.replace("regnet", "schneit") for text in references]
    found = paired_test(said, [text.replace(*change) for text in said], references)
    for difference in found.values():
        assert difference.first == difference.second and difference.p_value == 1


def test_equal_differences_count() -> None:
    """Better in five of six sentences alike, worse in one: of 64 swaps 14 differ as much."""
    references = ["a b c d e f"] * 8
    worse, right = "a b c d e x", references[0]
    first, second = [right] * 5 + [worse] + [right] * 2, [worse] * 5 + [right] * 3
    found = paired_test(first, second, references)
    for difference in found.values():
        assert difference.p_value == pytest.approx(14 / 64, abs=0.02)


def test_without_equal_differences_it_is_sacrebleus_test() -> None:
    draw, words = random.Random(0), [*"abcdefghijklmnop"]
    references = [" ".join(draw.choices(words, k=draw.randint(5, 20))) for _ in range(60)]
    systems = [
        [" ".join(word for word in text.split() if draw.random() < 0.9) for text in references]
        for _ in range(2)
    ]
    named = [(str(n), [f"{text} ." for text in system]) for n, system in enumerate(systems)]
    metrics = {"bleu4": BLEU(lowercase=True, force=True), "chrf": CHRF(lowercase=True)}
    dotted = [f"{text} ." for text in references]
    signatures, scores = PairedTest(named, metrics, [dotted], test_type="ar")()
    found = paired_test(*systems, references)
    for name, column in (("bleu4", "BLEU"), ("chrf", "chrF2")):
        first, second = scores[column]
        assert found[name][:2] == pytest.approx((first.score, second.score))
        assert 0.02 < second.p_value < 0.98
        assert found[name].p_value == pytest.approx(second.p_value, abs=5e-4)
        assert found[name].signature == str(signatures[column])


def test_another_system_of_another_length(run_script, files: list, tmp_path: Path) -> None:
    short = write(tmp_path / "short.txt", SAID[:2])
    finished = run_script("score.py", *files, "--against", short)
    assert finished.status == 1 and not finished.out
    assert "short.txt: found 2 lines; expected 4, as in " in finished.err


def test_without_json_it_prints_a_table(run_script, files: list) -> None:
    finished = run_script("score.py", *files)
    assert finished.status == 0 and "4 sentences" in finished.out
    assert "BLEU signature: nrefs:1" in finished.out and "{" not in finished.out
    without_dot = scored(run_script, *files)["no_dot"]
    (row,) = [line for line in finished.out.splitlines() if "chrf" in line]
    assert f" {without_dot['chrf']:.2f} " in row and "no dot" in finished.out


def test_warns_of_output_that_says_little(run_script, files: list, tmp_path: Path, caplog) -> None:
    scored(run_script, *files)
    assert not caplog.records
    same = write(tmp_path / "same.txt", ["es regnet"] * 3 + ["x"])
    empty = write(tmp_path / "empty.txt", ["", "", "", "x"])
    scored(run_script, "--hypotheses", same, *files[2:], "--against", empty)
    assert caplog.messages == [
        f"more than half of the sentences of {same} are the same sentence",
        f"more than half of the sentences of {empty} are empty",
    ]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (SAID[:3], [], r"other.txt: found 3 lines; expected 4, as in .*true.txt"),
        ([*SAID, ""], [], r"other.txt: found 5 lines; expected 4"),
        (SAID, ["--glosses", "--against", "x"], "against: found gloss files; expected transl"),
    ],
)
def test_wrong_files(run_script, files, tmp_path, lines, options, message) -> None:
    other = write(tmp_path / "other.txt", lines)
    finished = run_script("score.py", "--hypotheses", other, *files[2:], *options)
    assert finished.status == 1
    assert re.search(message, finished.err), finished.err


def test_empty_and_missing_files(run_script, files: list, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    finished = run_script("score.py", *files[:2], "--references", empty)
    assert finished.status == 1 and "empty.txt: found an empty file" in finished.err
    finished = run_script("score.py", *files[:2], "--references", tmp_path / "gone")
    assert finished.status == 1 and "gone: found no such file" in finished.err


def test_single_sentences() -> None:
    assert sentence_errors(["A B", ""], ["A C D", "E"])[0]["glosses"] == 3
    assert len(sentence_scores(SAID, TRUE)) == 4
    with pytest.raises(ValueError, match="expected as many of each"):
        sentence_scores(SAID, TRUE[:2])
