"""What README.md and docs/ show can be done: Python is run, commands are parsed or run.

A block is the text between two fences. Its language decides: python is run; csv is read as a
manifest; text is what a program prints; the rest is shell. Each line of shell is given to the
parser of its command, and the blocks in RUN are run on tiny data. To leave something out, put it
and the reason into LEFT_OUT.
"""

import argparse
import csv
import re
import runpy
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.distributed.run import get_args_parser as torchrun_parser

from slt_fast import command_line
from slt_fast.data.datasets.rows import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "slt_fast" / "pretrained" / "quickstart" / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), CARD]

# First lines of the blocks that are run.
RUN = (
    "python scripts/render_synthetic.py --clip test-00000 --output clips",
    "slt-train --recipe quickstart --data manifest:mydata/manifest.csv --output runs/own",
    "slt-score --hypotheses said.txt --references true.txt",
)
# Lines of shell, and first lines of Python, that are neither parsed nor run.
LEFT_OUT = {
    "with torch.no_grad():": "a CUDA graph needs a GPU; it is compiled only",
    "hf upload USER/mymodel mymodel": "a program of huggingface_hub, which needs an account",
    "curl -N --data-binary @clip.mp4 http://127.0.0.1:8000/translate": "another program",
    "ffmpeg ... -f mpegts -": "another program, and the dots are the user's",
    'pip install --no-build-isolation ".[slt,serve]"': "downloads; `make setup` runs one like it",
    'pip install --no-build-isolation ".[slt,export]"': "downloads; `make setup` runs one like it",
    "cd exported": "a folder; the next two are its programs, whose functions tests/export/ tests",
    "python images.py clip.mp4 images.npy": "as above",
    "python translate.py images.npy": "as above",
    ".venv/bin/python setup.py build_ext --inplace": "compiles over the extension in use",
}


OPTION = re.compile(r"--[a-z][a-z-]*[a-z]\b(?!-)")
HISTORY = ("CHANGELOG.md", "log.md")  # they also name options that are no more
# Options of other programs that the sentences name.
OPTIONS_OF_OTHERS = (
    *("--benchmark-only", "--nproc-per-node", "--max-restarts", "--nnodes", "--rdzv-endpoint"),
    *("--no-build-isolation", "--no-isolation", "--no-binary", "--editable", "--user", "--target"),
    *("--help", "--logdir", "--shm-size"),
)


class Block(NamedTuple):
    """A fenced block: page, number of its first line, language and text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def first_line(self) -> str:
        return " ".join(shlex.split(self.text.splitlines()[0], comments=True, posix=False))


def read_blocks() -> list[Block]:
    found = []
    for path in PAGES:
        text, page = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        assert text.count("```") % 2 == 0, page
        for fence in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
            line = text[: fence.start()].count("\n") + 2
            found.append(Block(page, line, fence[1] or "shell", textwrap.dedent(fence[2])))
    return found


def commands_of(text: str) -> list[list[str]]:
    """Returns the words of each command, without comments, variables before and files after it."""
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words, commands_of_line = iter(lexer), [[]]
        for word in words:
            if word in ("|", "&&", ";"):
                commands_of_line.append([])
            elif word == ">":
                next(words)
            elif commands_of_line[-1] or not re.match(r"\w+=", word):
                commands_of_line[-1].append(word)
        commands += filter(None, commands_of_line)
    return commands


def our_program(words: list[str]) -> tuple[str, list[str]] | None:
    """Returns a script or module of ours and its arguments; None for other programs."""
    for place, word in enumerate(words):
        if word.startswith("slt-"):
            return f"scripts/{word[4:].replace('-', '_')}.py", words[place + 1 :]
        if re.fullmatch(r"(scripts|examples)/\w+\.py|(benchmarks|slt_fast)\.\w+", word):
            if "torchrun" in words[:place]:
                torchrun_parser().parse_args(words[words.index("torchrun") + 1 :])
            return word, words[place + 1 :]
    return None


class Parsed(Exception):
    """Ends a command whose arguments were parsed."""


BLOCKS = read_blocks()
SHELL = [block for block in BLOCKS if block.language == "shell"]
RUNNABLE = [
    block
    for block in BLOCKS
    if block.language == "python" or (block.language == "shell" and block.first_line in RUN)
]


def name_of(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.fixture
def parse(monkeypatch):
    """Gives the arguments of a script or module of ours to its own parser."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    tyro_parse, argparse_parse = command_line.parse, argparse.ArgumentParser.parse_args

    def stop(real):
        def parse_and_stop(*arguments, **options):
            raise Parsed(real(*arguments, **options))

        return parse_and_stop

    def run(program: str, arguments: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        monkeypatch.setattr(command_line, "parse", stop(tyro_parse))
        with pytest.raises(Parsed):
            if program.endswith(".py"):
                runpy.run_path(str(ROOT / program), run_name="__main__")
            else:
                monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop(argparse_parse))
                runpy.run_module(program, run_name="__main__", alter_sys=True)

    return run


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_our_parsers_take_the_commands(block, parse, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands_of(block.text):
        if program := our_program(words):
            parse(*program)
        else:
            check_other_program(words)


def check_other_program(words: list[str]) -> None:
    """Raises AssertionError unless it is a target of the Makefile, a test, or left out."""
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif "pytest" in words:
        paths = [word for word in words[words.index("pytest") + 1 :] if "/" in word]
        assert paths and all((ROOT / path).exists() for path in paths)
    else:
        assert words in commands_of("\n".join(LEFT_OUT))


@pytest.fixture
def folder(tmp_path, monkeypatch, manifest, checkpoint) -> Path:
    """A folder in which the examples find their files: tiny clips and untrained models."""
    monkeypatch.chdir(tmp_path)
    for path in ("clip.mp4", "talk.mp4", *(f"mydata/clips/000{n}.mp4" for n in (1, 2, 3))):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest.parent / "first.mp4", tmp_path / path)
    people = "0001.mp4,The mother,anna\n0002.mp4,is asleep,ben\n0003.mp4,the mother,carla\n"
    (tmp_path / "mydata" / "sentences.csv").write_text("file,sentence,person\n" + people)
    for name in ("runs/mydata", "runs/quickstart"):
        shutil.copytree(checkpoint, tmp_path / name)
    (tmp_path / "quickstart").symlink_to(CARD.parent)
    for name in ("said.txt", "true.txt"):
        (tmp_path / name).write_text("the mother is asleep .\n")
    return tmp_path


def stand_ins() -> dict[str, object]:
    """Names that the examples take from the reader's own code."""
    maps = {"query": nn.Conv2d(32, 4, 1), "key": nn.Conv2d(32, 4, 1), "value": nn.Conv2d(32, 32, 1)}
    block = SimpleNamespace(**maps, gamma=nn.Parameter(torch.zeros(1)))
    x = torch.randn(2, 32, 4, 4)
    return {"x": x, "next_images": x, "self": block, "old": block, "pool": nn.MaxPool2d(2)}


@pytest.mark.parametrize("page", sorted({block.page for block in RUNNABLE}))
def test_examples_run(page, run_script, folder, tiny_options) -> None:
    """Those of a page run one after the other, and share their names and files."""
    names = stand_ins()
    for block in (block for block in RUNNABLE if block.page == page):
        if block.language == "python":
            code = compile(block.text, name_of(block), "exec")
            if block.first_line not in LEFT_OUT:
                exec(code, names)
            continue
        for words in commands_of(block.text):
            script, arguments = our_program(words)
            small = [*tiny_options, "--epochs", "1"] if script == "scripts/train.py" else []
            finished = run_script(Path(script).name, *arguments, *small)
            assert finished.status == 0, finished.err
            assert finished.out


def test_columns_of_manifests_are_known() -> None:
    for block in (block for block in BLOCKS if block.language == "csv"):
        header, *rows = csv.reader(block.text.splitlines())
        assert set(header) <= set(COLUMNS), name_of(block)
        assert rows and all(len(row) == len(header) for row in rows), name_of(block)


def test_no_block_is_forgotten() -> None:
    """Languages that nothing above looks at, and commands in what is printed."""
    for block in BLOCKS:
        assert block.language in ("shell", "python", "csv", "text"), name_of(block)
        if block.language == "text":
            programs = map(our_program, (line.split() for line in block.text.splitlines()))
            assert not any(programs), name_of(block)


def test_options_in_sentences_are_options(run_script, monkeypatch) -> None:
    """Each --option between backquotes is one of a command of ours, or of another program."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    known, named = set(OPTIONS_OF_OTHERS), set()
    for path in ROOT.glob("benchmarks/**/*.py"):
        known |= set(re.findall(r'add(?:_argument)?\(\s*"(--[a-z-]+)"', path.read_text()))
    for script in ROOT.glob("scripts/*.py"):
        known |= set(OPTION.findall(run_script(script.name, "--help").out))
    for path in PAGES:
        text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        if path.name not in HISTORY:
            code = " ".join(re.findall(r"`([^`]+)`", text))
            named |= {(option, path.name) for option in OPTION.findall(code)}
    unknown = sorted(f"{page}: {option}" for option, page in named if option not in known)
    assert not unknown, "; ".join(unknown)
    assert set(OPTIONS_OF_OTHERS) <= {option for option, _ in named}


def test_what_is_listed_is_there() -> None:
    lines = {block.first_line for block in BLOCKS if block.language in ("shell", "python")}
    commands = [words for block in SHELL for words in commands_of(block.text)]
    for line in (*RUN, *LEFT_OUT):
        assert line in lines or commands_of(line)[0] in commands, line
