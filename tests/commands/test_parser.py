"""Help and mistakes: at once, with examples, in one line where something is wrong."""

import re
import subprocess
import sys

import pytest

import speechbrain_fusion
from speechbrain_fusion.commands.ending import finish, tell
from speechbrain_fusion.commands.parser import build_parser
from speechbrain_fusion.commands.pcm import ENCODINGS
from speechbrain_fusion.metrics.scorers import SCORERS
from tests.commands.shell import run

COMMANDS = [
    *("enhance", "separate", "stream", "evaluate"),
    *("export", "report", "recipe", "info"),
]


def test_help_names_every_command_and_exit_code():
    ran = run("--help")
    assert ran.code == 0
    for word in (*COMMANDS, "exit codes", "examples"):
        assert word in ran.text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command):
    ran = run(command, "--help")
    assert ran.code == 0
    assert f"usage: speechbrain-fusion {command}" in ran.text
    assert f"speechbrain-fusion {command}" in ran.text.split("examples:")[1]
    assert "  130  interrupted" in ran.text
    described = ran.text.split("examples:")[0]
    assert max(map(len, described.splitlines())) <= 88


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_command_lines(command):
    text = run(command, "--help").text.split("examples:")[1].split("exit codes:")[0]
    lines = text.replace("\\\n", " ").strip().splitlines()
    own = [line for line in lines if "speechbrain-fusion " in line]
    assert own
    for line in own:
        words = line.split("speechbrain-fusion ")[1].split("|")[0].split(">")[0]
        options = build_parser().parse_args(words.replace('"', "").split())
        assert options.command == command


def test_version():
    assert run("--version").text.strip() == speechbrain_fusion.__version__


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["improve"], "invalid choice: 'improve'"),
        (["enhance", "a.wav"], "required: -o/--output"),
        (["enhance", "-o", "b.wav"], "required: IN"),
        (["enhance", "a.wav", "-o", "b.wav", "--forc"], "unrecognized arguments"),
        (["enhance", "a.wav", "-o", "b", "--channel", "-1"], "--channel"),
        (["stream", "--rate", "0"], "expected a number from 1, got '0'"),
        (["stream", "--rate", "1e4"], "expected a whole number, got '1e4'"),
        (["stream", "--block", "nan"], "expected 0 < ms <= 10000, got 'nan'"),
        (["stream", "--format", "mp3"], "invalid choice: 'mp3'"),
        (["export", "-o", "x", "--step", "--offline"], "not allowed with argument"),
        (["evaluate", "a.wav"], "required: ESTIMATE"),
        (["report"], "required: RUN"),
        (["enhance", "", "-o", "out"], "argument IN: expected a name, got ''"),
        (["enhance", "a.wav", "-o", ""], "-o/--output: expected a name, got ''"),
        (["evaluate", "", "b.wav"], "argument REFERENCE: expected a name, got ''"),
        (["info", "--model", ""], "argument --model: expected a name, got ''"),
    ],
)
def test_wrong_arguments_end_with_usage_and_2(arguments, told):
    ran = run(*arguments)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.startswith("usage: speechbrain-fusion")
    assert ran.out == b""


@pytest.mark.slow
def test_help_and_mistakes_need_no_heavy_import():
    program = (
        "import sys\n"
        "from speechbrain_fusion.cli import main\n"
        "for arguments in (['--help'], ['stream', '--help'], ['enhance']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'speechbrain', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ValueError("a\nb"), 1, "speechbrain-fusion: error: a b\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "error: x: No such file\n"),
        (OSError(28, "No space left"), 1, "speechbrain-fusion: error: No space left\n"),
        (OSError("odd"), 1, "speechbrain-fusion: error: odd\n"),
        (ImportError("pip install x"), 1, "error: pip install x"),
        (MemoryError(), 1, "out of memory"),
        (KeyError("x"), 70, "KeyError: 'x' (see --debug; please report it)"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_whatever_stops_a_command_becomes_a_line_and_a_code(capsys, error, code, told):
    def stop(options):
        raise error

    options = build_parser().parse_args(["info"])
    assert finish(stop, options) == code
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize("arguments", [["--debug", "info"], ["info", "--debug"]])
def test_debug_shows_where_an_error_came_from(capsys, arguments):
    def stop(options):
        raise ValueError("here")

    assert finish(stop, build_parser().parse_args(arguments)) == 1
    assert "test_parser.py" in capsys.readouterr().err


def test_any_name_can_be_told(capsys):
    tell("\udcff \u00b5 \u65e5")
    assert capsys.readouterr().out.startswith("\\udcff")


def test_what_is_offered_is_what_there_is():
    """The parser knows encodings and metrics by name alone: their modules are slow."""
    formats = options_of("stream")["--format"].choices
    assert [*formats] == ["auto", "wav", *ENCODINGS]
    words = re.findall(r"\w+", options_of("evaluate")["--metrics"].help)
    assert {*SCORERS, "composite"} <= {*words}


def options_of(command):
    """Return a command's options by their names."""
    for action in build_parser()._actions:
        if command in (action.choices or ()):
            return action.choices[command]._option_string_actions
    raise AssertionError(command)
