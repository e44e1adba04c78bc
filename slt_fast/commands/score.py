"""Scores anybody's translations: two text files, a sentence a line.

slt-score --hypotheses said.txt --references true.txt

slt-score --hypotheses said.txt --references true.txt --against other.txt --json
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from slt_fast import command_line
from slt_fast.data.datasets.text_lines import read_lines
from slt_fast.errors import DataError, UserError
from slt_fast.files import check_outputs, replacing
from slt_fast.metrics import (
    Score,
    clean_phoenix_gloss,
    translation_scores,
    warn_of_repeats,
    word_error_rate,
)
from slt_fast.metrics.paired import paired_test
from slt_fast.metrics.sentences import sentence_errors, sentence_scores
from slt_fast.settings import check_settings
from slt_fast.training.summary import score_table

_TEXT_SCORES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf")
_GLOSS_SCORES = {"wer": "wer", "del": "deletions", "ins": "insertions", "sub": "substitutions"}


@dataclass(frozen=True)
class Arguments:
    """Scores translations, or glosses, against references."""

    hypotheses: Path
    """File of the system's sentences, one a line; a line may be empty."""
    references: Path
    """File of the true sentences, in the same order."""
    glosses: bool = False
    """The files hold glosses: word error rate after PHOENIX-2014-T's clean-up, and raw."""
    against: Path | None = None
    """File of another system's sentences: tests whether the two differ by more than chance."""
    per_sentence: Path | None = None
    """File (.csv) for the scores of each sentence."""
    json: bool = False
    """Print one JSON object as the last line."""

    def __post_init__(self) -> None:
        check_settings(self)


def main() -> None:
    """Scores as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    if arguments.glosses and arguments.against:
        expected = "translations, as the paired test is sacrebleu's"
        raise UserError(f"against: found gloss files; expected {expected}")
    read = ("hypotheses", "references", "against")
    inputs = {f"--{name}": getattr(arguments, name) for name in read}
    check_outputs({"--per-sentence": arguments.per_sentence}, inputs)
    references = read_lines(arguments.references)
    if not references:
        raise DataError(arguments.references, "an empty file", "a sentence a line")
    hypotheses = _as_many(arguments.hypotheses, references, arguments.references)
    others = arguments.against and _as_many(arguments.against, references, arguments.references)
    score = _gloss_scores if arguments.glosses else _text_scores
    scores, values = score(hypotheses, references)
    console = Console()
    console.print(score_table(scores, f"{len(references)} sentences"))
    if "signature" in values:
        console.print(f"BLEU signature: {values['signature']}", highlight=False)
    if others:
        values["against"] = _compared(hypotheses, others, references)
        for name, found in values["against"].items():
            pair = f"{found['first']:.2f} against {found['second']:.2f}"
            console.print(f"{name}: {pair}, p = {found['p_value']:.4f}", highlight=False)
    if arguments.per_sentence:
        path, glosses = arguments.per_sentence, arguments.glosses
        _write_sentences(path, hypotheses, references, glosses=glosses)
    if arguments.json:
        print(json.dumps(values))


def _as_many(path: Path, references: list[str], source: Path) -> list[str]:
    lines = read_lines(path)
    if len(lines) != len(references):
        raise DataError(path, f"{len(lines)} lines", f"{len(references)}, as in {source}")
    warn_of_repeats(lines, f"sentences of {path}")
    return lines


def _text_scores(
    hypotheses: list[str], references: list[str]
) -> tuple[dict[str, Score], dict[str, Any]]:
    scores = translation_scores(hypotheses, references)
    values: dict[str, Any] = {name: scores[name].value for name in _TEXT_SCORES}
    values |= {"exact_match": scores["exact_match"].value, "interval": scores["bleu4"].interval}
    values |= {"signature": scores["bleu4"].signature, "chrf_signature": scores["chrf"].signature}
    no_dot: dict[str, Any] = {name: scores[f"no_dot.{name}"].value for name in _TEXT_SCORES}
    values["no_dot"] = no_dot | {"signature": values["signature"]}
    return scores, values


def _gloss_scores(
    hypotheses: list[str], references: list[str]
) -> tuple[dict[str, Score], dict[str, Any]]:
    scores = word_error_rate(_cleaned(hypotheses), _cleaned(references))
    raw = word_error_rate(hypotheses, references)
    values: dict[str, Any] = {key: scores[name].value for key, name in _GLOSS_SCORES.items()}
    values["interval"] = scores["wer"].interval
    values["raw"] = {key: raw[name].value for key, name in _GLOSS_SCORES.items()}
    return scores, values


def _cleaned(lines: list[str]) -> list[str]:
    return [clean_phoenix_gloss(line) for line in lines]


def _compared(first: list[str], second: list[str], references: list[str]) -> dict[str, dict]:
    found = paired_test(first, second, references)
    return {name: difference._asdict() for name, difference in found.items()}


def _write_sentences(
    path: Path, hypotheses: list[str], references: list[str], *, glosses: bool
) -> None:
    """Writes a row a sentence."""
    if glosses:
        rows = sentence_errors(_cleaned(hypotheses), _cleaned(references))
    else:
        rows = sentence_scores(hypotheses, references)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "reference", "hypothesis", *rows[0]])
        texts = zip(references, hypotheses, rows, strict=True)
        for number, (true, said, row) in enumerate(texts, start=1):
            writer.writerow([number, true, said, *row.values()])


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
