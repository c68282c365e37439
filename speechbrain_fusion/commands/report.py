"""`speechbrain-fusion report`: a run's page to look at and listen to."""

import argparse
from pathlib import Path

from speechbrain_fusion.commands.ending import DONE, UsageError, tell
from speechbrain_fusion.commands.outputs import refuse_existing
from speechbrain_fusion.report.page import write_page


def run(options: argparse.Namespace) -> int:
    """Write the page; one that was made before from the same run is written anew."""
    folder = Path(options.run_folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder, expected a recipe's output folder")
    output = None if options.output is None else Path(options.output)
    if output is not None:
        refuse_existing(output, options.force)
    page = write_page(folder, output)
    if not options.quiet:
        tell(str(page))
    return DONE
