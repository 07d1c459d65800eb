"""Every command and every piece of Python in README.md does what it says: it runs.

The blocks run in order, each in a process of its own, in one temporary folder, so that a block sees the files of those
before it. A block that reads what `make demo` wrote (``out/demo``) is marked slow, and the demo runs before it.

Of the commands that set up a checkout, or would take it along, less is asked:

- ``git clone``, ``pip install``, making and entering an environment: nothing;
- ``make TARGET``: make knows the target and its variables suffice (a dry run); the demo runs among the slow tests;
- a benchmark: its file exists and ``--help`` ends well.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
DEMO_FOLDER = "out/demo"
TIMEOUT_S = 280
DEMO_TIMEOUT_S = 900
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[A-Za-z]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```\s*$", re.M | re.S)
_SETTING_UP = re.compile(
    r"(git clone|(python[\d.]*|\S*/python[\d.]*) -m (pip|venv)|pip\d? install|uv |source |\. |cd )"
)
_BENCHMARK = re.compile(r"\bbenchmarks[/.](?P<name>\w+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text without indentation, and the line of README.md it starts at."""

    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"line {self.line} ({self.language})"

    @property
    def needs_demo(self) -> bool:
        """Whether it reads what the demo wrote; the command that makes it does not."""
        return any(DEMO_FOLDER in command and not is_make(command) for command in self.commands)

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block (output, comments and prompts left out); the lines of any other."""
        return shell_commands(self.text) if self.language == "bash" else self.text.splitlines()


def read_blocks(markdown: str) -> list[Block]:
    """The bash and python blocks of a document, in order."""
    blocks = []
    for match in _FENCE.finditer(markdown):
        if match["language"] in {"bash", "python"}:
            indent = len(match["indent"])
            text = "".join(line[indent:] if line.strip() else "\n" for line in match["body"].splitlines(keepends=True))
            blocks.append(Block(match["language"], text, markdown.count("\n", 0, match.start()) + 1))
    return blocks


def shell_commands(text: str) -> list[str]:
    """One string per command; where a line starts with ``$``, the lines that do not are output."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    commands = [re.sub(r"\s+#.*$", "", line).strip() for line in lines]
    return [re.sub(r"\s+", " ", one) for one in commands if one and not one.startswith("#")]


def is_make(command: str) -> bool:
    return command.split()[:1] == ["make"]


def is_setting_up(command: str) -> bool:
    return all(_SETTING_UP.match(part.strip()) for part in command.split("&&"))


def run(command: list[str], *, block: Block, folder: Path, stdin: str = "", timeout_s: float = TIMEOUT_S) -> str:
    """The output; a failure shows the block and everything that was printed."""
    binaries = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": binaries + os.pathsep + os.environ["PATH"], "JAX_PLATFORMS": "cpu"}
    environment.update({"MPLBACKEND": "agg", "COLUMNS": "120"})
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs this
        environment.pop(name, None)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"README.md {block}: {shlex.join(command)} took more than {timeout_s:.0f} s\n{error.output!r}")
    if done.returncode != 0:
        pytest.fail(
            f"README.md {block}: {shlex.join(command)} ended with code {done.returncode}\n"
            f"--- the block\n{block.text}--- its output\n{done.stdout}",
            pytrace=False,
        )
    return done.stdout


def check_make(command: str, block: Block, root: Path) -> None:
    """`make` knows the targets, and the variables given suffice."""
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    words = [word for word in shlex.split(command)[1:] if not word.startswith("-")]
    # The stamp counts as fresh: a test installs nothing.
    run(["make", "--dry-run", "-o", ".venv/.installed", *words], block=block, folder=root)


def check_benchmark(command: str, block: Block, root: Path) -> None:
    """The benchmark is there and can say what it takes."""
    match = _BENCHMARK.search(command)
    assert match is not None
    file = root / "benchmarks" / f"{match['name']}.py"
    assert file.is_file(), f"README.md {block}: {command!r} names a benchmark that is not there: {file.name}"
    run([sys.executable, str(file), "--help"], block=block, folder=root)


def check_bash(block: Block, folder: Path, root: Path) -> None:
    """Run the commands of one block in one shell, after the special ones were looked at."""
    script = ["set -euo pipefail"]
    for command in block.commands:
        if is_setting_up(command):
            continue
        if is_make(command):
            check_make(command, block, root)
        elif _BENCHMARK.search(command):
            check_benchmark(command, block, root)
        else:
            script.append(command)
    if len(script) > 1:
        run(["bash", "-x"], block=block, folder=folder, stdin="\n".join(script) + "\n")


@pytest.fixture(scope="module")
def folder(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the blocks run: empty but for the examples."""
    place = tmp_path_factory.mktemp("readme")
    if (repo_root / "examples").is_dir():
        shutil.copytree(repo_root / "examples", place / "examples")
    return place


@pytest.fixture(scope="module")
def demo(folder: Path, request: pytest.FixtureRequest) -> Path:
    """What the demo writes, where `make demo` writes it; that command itself is looked at as any other of make."""
    out = folder / DEMO_FOLDER
    shutil.copytree(request.getfixturevalue("demo_run").folder, out)
    return out


BLOCKS = read_blocks(README.read_text(encoding="utf-8")) if README.is_file() else []


@pytest.mark.parametrize(
    "block",
    [pytest.param(one, id=f"line-{one.line}", marks=[pytest.mark.slow] if one.needs_demo else []) for one in BLOCKS],
)
@pytest.mark.timeout(TIMEOUT_S + DEMO_TIMEOUT_S)
def test_block(block: Block, folder: Path, repo_root: Path, request: pytest.FixtureRequest) -> None:
    if block.needs_demo:
        request.getfixturevalue("demo")
    if block.language == "bash":
        check_bash(block, folder, repo_root)
    else:
        script = folder / f"readme_line_{block.line}.py"
        script.write_text(block.text, encoding="utf-8")
        run([sys.executable, script.name], block=block, folder=folder)


DOCS_PYTHON = [
    pytest.param(block, id=f"{page.stem}-line-{block.line}")
    for page in sorted(README.parent.glob("docs/*.md"))
    for block in read_blocks(page.read_text(encoding="utf-8"))
    if block.language == "python"
]


@pytest.mark.parametrize("block", DOCS_PYTHON)
def test_python_of_the_docs(block: Block, tmp_path: Path) -> None:
    run([sys.executable, "-c", block.text], block=block, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(DEMO_TIMEOUT_S)
def test_demo_writes_something(demo: Path) -> None:
    assert any(demo.iterdir())


# ------------------------------------------------------------------------------------------------ the reading itself


SAMPLE = """
```bash
# set up
git clone https://example.org/trodden.git && cd trodden
make test            # a minute
```
```python
print(1)
```
```
not run
```
- in a list:

  ```bash
  $ echo one \\
      two
  one two
  $ echo $HOME
  ```
"""


def test_blocks_are_found_in_order() -> None:
    assert [(block.language, block.line) for block in read_blocks(SAMPLE)] == [("bash", 2), ("python", 7), ("bash", 15)]


def test_commands_are_told_from_output_and_comments() -> None:
    first, _, last = read_blocks(SAMPLE)
    assert first.commands == ["git clone https://example.org/trodden.git && cd trodden", "make test"]
    assert last.commands == ["echo one two", "echo $HOME"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("git clone https://example.org/x && cd x", True),
        ("python3 -m venv .venv", True),
        (".venv/bin/python -m pip install .", True),
        ("pip install trodden", True),
        ("trodden --help", False),
        ("python -m trodden --help", False),
        ("cd x && trodden --help", False),
    ],
)
def test_setting_up_is_told_from_using(command: str, expected: bool) -> None:
    assert is_setting_up(command) is expected


@pytest.mark.parametrize("text", ["exit 3\n", "false | cat\n", "echo $NO_SUCH_VARIABLE\n", "no-such-command\n"])
def test_a_failing_command_fails(text: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="ended with code"):
        check_bash(Block("bash", text, 1), tmp_path, tmp_path)


def test_a_missing_benchmark_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not there"):
        check_bash(Block("bash", "python benchmarks/nothing.py\n", 1), tmp_path, tmp_path)


@pytest.mark.parametrize("command", ["make no-such-target", "make train"])
def test_a_make_command_that_would_stop_fails(command: str, repo_root: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="ended with code"):
        check_bash(Block("bash", command + "\n", 1), repo_root, repo_root)


@pytest.mark.parametrize("command", ["make", "make test", "make demo", "make train NETWORK=n ROUTES=r.csv MODEL=m"])
def test_a_good_make_command_passes(command: str, repo_root: Path) -> None:
    check_bash(Block("bash", command + "\n", 1), repo_root, repo_root)
