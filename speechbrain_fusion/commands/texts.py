"""What the help of each command says."""

from typing import NamedTuple


class Text(NamedTuple):
    """A line for the list of commands, a description and examples."""

    help: str
    description: str
    examples: str


EXAMPLES = """\
  speechbrain-fusion enhance noisy.wav -o enhanced.wav
  speechbrain-fusion enhance recordings/ "more/**/*.flac" -o enhanced/
  speechbrain-fusion separate --model run/model meeting.wav -o talkers/
  arecord -f S16_LE -c 2 -r 16000 -t raw | speechbrain-fusion stream | aplay ...
  speechbrain-fusion evaluate clean/ enhanced/ --noisy noisy/ --csv scores.csv
  speechbrain-fusion recipe binaural my_recipe
  speechbrain-fusion COMMAND --help says more, with examples
"""

FILES = """\
Several files go through the model together. An input that cannot be used is told
at the end and stops no other; what is there already is not overwritten and told
likewise. OUT is a file if there is one input file and OUT has a suffix (.wav),
otherwise a folder."""

TEXTS = {
    "enhance": Text(
        "take the noise out of speech recordings",
        f"""\
Take the noise out of speech recordings. Rate, channels, length, level and the
cues of both ears stay as they are.
{FILES}""",
        """\
  speechbrain-fusion enhance noisy.wav -o enhanced.wav
  speechbrain-fusion enhance noisy/ -o enhanced/ --model results/fusion/model
  speechbrain-fusion enhance "day*/**/*.flac" -o enhanced/ --device cuda --quiet
""",
    ),
    "separate": Text(
        "give each talker of a mixture a file",
        f"""\
Give each talker of a mixture a file: those of a.wav become a_1.wav, a_2.wav and
so on. A talker keeps its file to the end.
{FILES}""",
        """\
  speechbrain-fusion separate mixture.wav -o talkers/ --model results/small/model
  speechbrain-fusion separate mixtures/ -o talkers/ --model results/small/model
""",
    ),
    "stream": Text(
        "process sound as it comes, from stdin to stdout",
        """\
Process sound as it comes, from stdin to stdout. The input is a WAV (also one whose
header states no length, as programs write into pipes) or raw samples, little
endian, channels interleaved; the output has the same format. Only causal models,
at their own rate. As many samples come out as go in, late by the model's latency
(and the block that is being filled); --align takes the latency out.""",
        """\
  arecord -q -f S16_LE -c 2 -r 16000 -t raw \\
      | speechbrain-fusion stream | aplay -q -f S16_LE -c 2 -r 16000 -t raw
  sox noisy.wav -t wav - | speechbrain-fusion stream --align > enhanced.wav
  ffmpeg -i noisy.mp4 -f f32le -ar 16000 -ac 2 - \\
      | speechbrain-fusion stream --format f32le > enhanced.f32
""",
    ),
    "evaluate": Text(
        "score estimates against their references",
        """\
Score estimates against their references. REFERENCE and ESTIMATE are two files, or
two folders whose .wav, .flac and .ogg files have the same relative names (the suffix
may differ). Rates and channels must agree, and lengths to 0.1 s: the longer one's end
is left out.
PESQ and the composite measures are scored at 16 kHz (8 kHz below that rate), other
rates are resampled. What cannot be scored is told with the reason.""",
        """\
  speechbrain-fusion evaluate clean.wav enhanced.wav
  speechbrain-fusion evaluate clean/ enhanced/ --noisy noisy/ --csv scores.csv
  speechbrain-fusion evaluate clean/ enhanced/ --metrics si_sdr pesq composite
""",
    ),
    "export": Text(
        "write a model as ONNX",
        """\
Write a model as ONNX. The step maps a block of samples and the state to the
processed block and the new state, for streams; the offline model maps whole
signals of any length. Needs the extra: pip install "speechbrain-fusion[export]".""",
        """\
  speechbrain-fusion export --model results/fusion/model -o step.onnx
  speechbrain-fusion export --model results/small/model -o model.onnx --offline
""",
    ),
    "report": Text(
        "write a run's page to look at and listen to",
        """\
Write a run's page to look at and listen to. RUN is a recipe's output folder; the
page is one file that needs no network.""",
        """\
  speechbrain-fusion report results/fusion
  speechbrain-fusion report results/fusion -o fusion.html
""",
    ),
    "recipe": Text(
        "copy a recipe out of the package, to edit and run",
        """\
Copy a recipe out of the package: the script that trains, its YAMLs and its README,
ready to edit and run from any folder. Nothing is overwritten. Without NAME, say
which recipes there are.""",
        """\
  speechbrain-fusion recipe
  speechbrain-fusion recipe binaural my_recipe
  python my_recipe/train.py hparams/fusion.yaml
""",
    ),
    "info": Text(
        "say versions, devices, what is installed and what a model is",
        "Say versions, devices, what is installed and what a model is.",
        """\
  speechbrain-fusion info
  speechbrain-fusion info --model results/fusion/model
""",
    ),
}
