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
A file that cannot be processed does not stop the others: it is reported at the end,
and so is an output that exists already and is not overwritten without --force. OUT is
a file if there is one input file and OUT has a suffix (.wav), otherwise a folder."""

TEXTS = {
    "enhance": Text(
        "take the noise out of speech recordings",
        f"""\
Take the noise out of speech recordings. The output has the input's sample rate,
channels, length and level, and nothing above half of the model's sample rate. A model
of two ears needs two channels and processes them together; the one that ships with the
package is of that kind, at 16 kHz. A model of one channel processes each on its own.
{FILES}""",
        """\
  speechbrain-fusion enhance noisy.wav -o enhanced.wav
  speechbrain-fusion enhance noisy/ -o enhanced/ --model results/fusion/model
  speechbrain-fusion enhance "day*/**/*.flac" -o enhanced/ --device cuda --quiet
""",
    ),
    "separate": Text(
        "write each talker of a mixture to a file",
        f"""\
Write each talker of a mixture to a file of its own: a.wav becomes a_1.wav, a_2.wav and
so on. A talker stays in the same file to the end. Of several channels choose one by
--channel.
{FILES}""",
        """\
  speechbrain-fusion separate mixture.wav -o talkers/ --model results/small/model
  speechbrain-fusion separate mixtures/ -o talkers/ --model results/small/model
""",
    ),
    "stream": Text(
        "process sound while it is recorded, from stdin to stdout",
        """\
Process sound while it is recorded, from stdin to stdout. The input is a WAV (also one
whose header states no length, as programs write into pipes) or raw samples, little
endian, channels interleaved; the output has the same format. The model has to be
causal, and the input has to have its sample rate. As many samples come out as go in,
delayed by the model's latency (and by the block that is being filled); --align removes
the latency.""",
        """\
  arecord -q -f S16_LE -c 2 -r 16000 -t raw \\
      | speechbrain-fusion stream | aplay -q -f S16_LE -c 2 -r 16000 -t raw
  sox noisy.wav -t wav - | speechbrain-fusion stream --align > enhanced.wav
  ffmpeg -i noisy.mp4 -f f32le -ar 16000 -ac 2 - \\
      | speechbrain-fusion stream --format f32le > enhanced.f32
""",
    ),
    "evaluate": Text(
        "score processed recordings against clean ones",
        """\
Score processed recordings against clean ones. REFERENCE and ESTIMATE are two files, or
two folders whose .wav, .flac and .ogg files have the same relative names (the suffix
may differ). Sample rates and channels have to agree, and lengths to 0.1 s: the end of
the longer one is left out.
PESQ and the composite measures are scored at 16 kHz (8 kHz below that rate), other
rates are resampled. What cannot be scored is listed with the reason.""",
        """\
  speechbrain-fusion evaluate clean.wav enhanced.wav
  speechbrain-fusion evaluate clean/ enhanced/ --noisy noisy/ --csv scores.csv
  speechbrain-fusion evaluate clean/ enhanced/ --metrics si_sdr pesq composite
""",
    ),
    "export": Text(
        "write a model as ONNX",
        """\
Write a model as ONNX. A causal model becomes a step by default, for streams: it maps a
block of samples and a state to the processed block and the next state. Any other
becomes an offline model, which maps whole signals of any length. Both are compared with
PyTorch first. Needs the extra: pip install "speechbrain-fusion[export]".""",
        """\
  speechbrain-fusion export --model results/fusion/model -o step.onnx
  speechbrain-fusion export --model results/small/model -o model.onnx --offline
""",
    ),
    "report": Text(
        "write a page about a training run",
        """\
Write a page about a training run: scores, players, learning curves, configuration. RUN
is a recipe's output folder; the page is one HTML file that needs no network.""",
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
        "show versions, devices, optional packages and what a model is",
        "Show versions, devices, optional packages and what a model is.",
        """\
  speechbrain-fusion info
  speechbrain-fusion info --model results/fusion/model
""",
    ),
}
