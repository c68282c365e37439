"""The command line: every command's arguments and help, without any heavy import."""

import argparse

import speechbrain_fusion
from speechbrain_fusion.commands.ending import EXIT_CODES, PROGRAM
from speechbrain_fusion.commands.texts import EXAMPLES, TEXTS
from speechbrain_fusion.typed import count, whole_number

Commands = argparse._SubParsersAction  # what add_subparsers returns has no public name
SHIPPED = "by default the one that ships with the package"


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line.

    Example
    -------
    >>> options = build_parser().parse_args(["enhance", "a.wav", "-o", "b.wav"])
    >>> options.inputs, options.output, options.force
    (['a.wav'], 'b.wav', False)
    """
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=speechbrain_fusion.__doc__,
        epilog=f"examples:\n{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=speechbrain_fusion.__version__
    )
    _add_debug(parser, default=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        *(_add_enhance, _add_separate, _add_stream, _add_evaluate),
        *(_add_export, _add_report, _add_recipe, _add_info),
    ):
        add(commands)
    return parser


def _command(commands: Commands, name: str, module: str) -> argparse.ArgumentParser:
    text = TEXTS[name]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.help,
        description=text.description,
        epilog=f"examples:\n{text.examples}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(module=f"speechbrain_fusion.commands.{module}")
    # not overwriting what stood before the command's name
    _add_debug(parser, default=argparse.SUPPRESS)
    return parser


def _add_debug(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--debug",
        action="store_true",
        default=default,
        help="show where in the program an error came from",
    )


def _add_model(parser: argparse.ArgumentParser, without: str) -> None:
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        type=_name,
        help="a model folder, as every recipe's run ends with (OUTPUT_FOLDER/model), "
        f"or the name of a repository of the Hugging Face hub; {without}",
    )


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="let the model's YAML run any code it names: only for models you trust",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="no progress bar and no messages but errors",
    )


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true", help="overwrite what is there"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        type=_name,
        help="files, folders (all .wav, .flac and .ogg files in them, at any depth) "
        'and globs ("**" for any depth, in quotes)',
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        type=_name,
        help="a folder, in which the inputs' folders are kept; for one input file "
        "also a file",
    )


def _add_conversion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel",
        type=whole_number,
        metavar="N",
        help="process only this channel of the inputs, counted from 0",
    )
    parser.add_argument(
        "--subtype",
        metavar="NAME",
        help="encoding of the output: PCM_16, PCM_24, FLOAT and so on (default: the "
        "input's)",
    )


def _add_enhance(commands: Commands) -> None:
    _add_task(commands, "enhance", SHIPPED)


def _add_separate(commands: Commands) -> None:
    _add_task(commands, "separate", "none ships with the package")


def _add_task(commands: Commands, task: str, model: str) -> None:
    parser = _command(commands, task, "files")
    _add_files(parser)
    _add_conversion(parser)
    _add_model(parser, model)
    _add_trust(parser)
    _add_device(parser)
    _add_force(parser)
    _add_quiet(parser)
    parser.set_defaults(task=task)


def _add_stream(commands: Commands) -> None:
    parser = _command(commands, "stream", "stream")
    _add_model(parser, SHIPPED)
    _add_trust(parser)
    _add_device(parser)
    _add_samples(parser)
    parser.add_argument(
        "--block",
        type=_milliseconds,
        default=20.0,
        metavar="MS",
        help="milliseconds that are processed and written at once (default: 20); "
        "shorter means less delay and more work",
    )
    parser.add_argument(
        "--align",
        action="store_true",
        help="leave out the latency at the beginning and add the rest at the end",
    )
    _add_quiet(parser)


def _add_samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("auto", "wav", "s16le", "s24le", "s32le", "f32le"),
        default="auto",
        help="of the input; auto (default): a WAV if it begins as one, otherwise s16le",
    )
    parser.add_argument(
        "--rate",
        type=count,
        metavar="HZ",
        help="sample rate of raw samples (default: the model's)",
    )
    parser.add_argument(
        "--channels",
        type=count,
        metavar="N",
        help="number of channels of raw samples (default: the model's)",
    )


def _add_evaluate(commands: Commands) -> None:
    parser = _command(commands, "evaluate", "evaluate")
    for name, metavar, text in (
        ("reference", "REFERENCE", "clean file or folder"),
        ("estimate", "ESTIMATE", "processed file or folder"),
        ("--noisy", "NOISY", "unprocessed file or folder, to show what was gained"),
        ("--json", "FILE", "write summary, scores and reasons"),
        ("--csv", "FILE", "write a row per item"),
    ):
        parser.add_argument(name, metavar=metavar, type=_name, help=text)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="of si_sdr, sdr, snr, pesq, stoi, estoi, composite (csig, cbak, covl, "
        "llr, wss, segsnr) and, for two channels, mbstoi, ild_error, itd_error "
        "(default: all that fit)",
    )
    parser.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="number of processes (default: one per processor core)",
    )
    _add_force(parser)
    _add_quiet(parser)


def _add_export(commands: Commands) -> None:
    parser = _command(commands, "export", "export")
    _add_model(parser, SHIPPED)
    _add_trust(parser)
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="FILE.onnx",
        type=_name,
        help="the file to write",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--step", action="store_true", help="write the step: only of a causal model"
    )
    kind.add_argument(
        "--offline", action="store_true", help="write the offline model: of any model"
    )
    _add_force(parser)
    _add_quiet(parser)
    parser.set_defaults(device="cpu")


def _add_report(commands: Commands) -> None:
    parser = _command(commands, "report", "report")
    parser.add_argument(
        "run_folder", metavar="RUN", type=_name, help="a recipe's output folder"
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="FILE",
        type=_name,
        help="the page (default: RUN/report.html, written anew)",
    )
    _add_force(parser)
    _add_quiet(parser)


def _add_recipe(commands: Commands) -> None:
    parser = _command(commands, "recipe", "recipe")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", type=_name, help="of the recipe"
    )
    parser.add_argument(
        "destination",
        nargs="?",
        metavar="DEST",
        type=_name,
        help="the copy: a folder that does not exist yet, or is empty",
    )
    parser.add_argument("--list", action="store_true", help="say which recipes exist")


def _add_info(commands: Commands) -> None:
    parser = _command(commands, "info", "info")
    _add_model(parser, "the one that ships with the package is always shown")


def _name(text: str) -> str:
    """Refuse an empty name, a shell's unset variable: it is the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got ''")
    return text


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"expected 0 < ms <= 10000, got {text!r}")
    return value
