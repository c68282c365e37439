"""Synthesise the embedded demo corpus with espeak-ng.

Run from the repository root, with ``espeak-ng`` on the path::

    python scripts/make_demo_speech.py

Nothing here is random: the same espeak-ng gives the same samples, and a file that
holds them already is left untouched (an Ogg stream's serial number is random). Nothing
is written before all is spoken.
"""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from speechbrain_fusion.data.audio import resample
from speechbrain_fusion.data.files import written_whole

FOLDER = Path(__file__).parents[1] / "speechbrain_fusion" / "data" / "demo_speech"
RATE = 16000
LEVEL = 10 ** (-26 / 20)
PAUSE = 0.1
SHORTEST, LONGEST = 3.0, 5.0

# espeak-ng 1.51 drops the variant of "en-gb+f3": accents are named by their files.
ACCENTS = {
    "gb": "gmw/en",
    "us": "gmw/en-US",
    "scotland": "gmw/en-GB-scotland",
    "rp": "gmw/en-GB-x-rp",
    "lancaster": "gmw/en-GB-x-gbclan",
    "midlands": "gmw/en-GB-x-gbcwmd",
    "caribbean": "gmw/en-029",
    "nyc": "gmw/en-US-nyc",
}


class Talker(NamedTuple):
    """A voice: espeak-ng's variant, accent, pitch (0..99) and words per minute."""

    variant: str
    accent: str
    pitch: int
    rate: int


TALKERS = {
    "train": (
        Talker("m1", "gb", 40, 139),
        Talker("f1", "us", 45, 143),
        Talker("m2", "scotland", 55, 147),
        Talker("f2", "rp", 55, 134),
        Talker("m3", "us", 60, 151),
        Talker("f3", "lancaster", 40, 141),
        Talker("m4", "caribbean", 35, 143),
        Talker("Alicia", "gb", 45, 155),
        Talker("m5", "nyc", 50, 144),
        Talker("Andrea", "scotland", 50, 126),
        Talker("m8", "midlands", 45, 143),
        Talker("Annie", "us", 50, 139),
        Talker("klatt", "rp", 70, 147),
        Talker("aunty", "midlands", 40, 136),
        Talker("klatt4", "us", 30, 139),
        Talker("belinda", "gb", 55, 150),
        Talker("Alex", "lancaster", 65, 134),
        Talker("steph", "nyc", 60, 143),
        Talker("quincy", "gb", 30, 133),
        Talker("grandma", "caribbean", 35, 139),
    ),
    "valid": (
        Talker("f4", "gb", 60, 144),
        Talker("m6", "us", 70, 141),
        Talker("shelby", "rp", 50, 148),
        Talker("rob", "scotland", 45, 138),
    ),
    "test": (
        Talker("f5", "us", 55, 146),
        Talker("m7", "gb", 55, 136),
        Talker("linda", "scotland", 45, 143),
        Talker("Lee", "nyc", 50, 153),
    ),
}

SENTENCES = {
    "train": """
The narrow path behind our garden leads straight down to the old mill.
Seven grey geese flew across the frozen lake before breakfast.
Please measure the length of every shelf before you buy the timber.
A cheerful nurse showed the young visitors where to hang their coats.
Both brothers enjoy playing chess beside the fire on winter evenings.
The judge asked the jury to think carefully about each witness.
Our cousin Joyce has just moved into a tiny flat above the bakery.
Thick fog covered the harbour, so the ferry stayed in port.
He poured hot water over the leaves and waited for five minutes.
The museum keeps a huge collection of Egyptian beads and silver cups.
You should charge the batteries overnight and check them at dawn.
Martha sewed yellow patches on both elbows of his woollen jacket.
Three noisy magpies chased the squirrel round the chestnut tree.
The pilot turned south to avoid the thunder clouds over the coast.
Fresh basil and ripe tomatoes are all that this sauce needs.
We heard the choir rehearse in the chapel until half past nine.
The plumber found a rusty valve underneath the bathroom floor.
Nobody noticed the small crack in the vase until it was filled.
A brown horse with white feet trotted calmly through the village.
The mayor will open the new bridge on the second Thursday of July.
My uncle repairs clocks and sharpens knives in his spare time.
Bright orange lanterns were floating slowly down the river.
The teacher wrote four difficult words on the board for us to spell.
Vincent usually drinks his coffee without any milk or sugar.
The wind blew so hard that the shed lost half of its roof.
She found a purple feather between the pages of the dictionary.
The bus to the airport leaves from the square every quarter hour.
Ginger biscuits taste best when they are still slightly warm.
A group of engineers examined the tower from top to bottom.
The children built a fort of cushions and refused to come out.
Our neighbour waters the roses whenever we are away from home.
The thief escaped over the wall and vanished in the dark alley.
Put the largest boxes at the back and the fragile ones on top.
The judges awarded first prize to a violin player from Wales.
Sunlight shone through the window and warmed the sleeping cat.
He could not remember which key belonged to the garage door.
The farmer sold his sheep and bought a field beside the church.
Few people know that this valley was once covered by the sea.
The actress forgot her lines but made the audience laugh anyway.
George carried the heavy suitcase up eleven flights of stairs.
The soup was too salty, so we added another potato to the pot.
Wild strawberries grow along the railway line near the quarry.
They agreed to share the cost of the journey between them.
A loud bang from the kitchen made everyone jump out of their chairs.
The library will be closed on Monday while they paint the ceiling.
She threw the ball so far that the dog gave up looking for it.
The captain studied his charts and chose the northern passage.
Our train passed two ruined castles and a field of sunflowers.
The boy with the blue scarf is waiting beside the fountain.
Cold rain dripped from the branches onto the empty benches.
The doctor told him to rest his ankle for at least three weeks.
We watched the shadows grow longer as the sun went down.
The baker gets up at four and lights the oven before anyone else.
Zoe drew a map of the island with green chalk on the pavement.
The engine coughed twice and then stopped in the middle of the road.
Fold the paper in half and cut along the dotted line.
An owl lives in the hollow oak at the edge of the meadow.
The manager apologised for the delay and offered them free tickets.
Smooth pebbles and broken shells lay all over the beach.
I would rather walk home than wait another hour for a taxi.
The choice between the two houses was harder than we had expected.
A clever fox stole the cheese from the picnic basket.
The tailor needs both measurements by the end of the week.
They measured how quickly the ice melted in fresh and salt water.
The old sailor told us a strange story about a yellow whale.
Rosemary and thyme grow well in dry soil with plenty of sunshine.
The referee blew his whistle and pointed at the corner of the pitch.
Joan polished the mirror until she could see every freckle.
The bridge shook a little as the heavy lorry rolled across.
Each morning a grey heron stands motionless beside our pond.
The cook sharpened his knife and sliced the onions very thinly.
Several pages were missing from the back of the book.
The photograph shows my father as a boy with a wooden sledge.
They planted a row of birches to hide the ugly fence.
The orchestra tuned their instruments while the hall filled up.
You can reach the cave only when the tide is very low.
A thin layer of dust covered the piano and the chairs.
Her voice was calm, though her hands were shaking under the table.
The gardener pushed his barrow uphill through the soft mud.
The shop on the corner sells paint, brushes and picture frames.
""",
    "valid": """
The astronomer pointed her telescope at a faint green comet.
Two puppies were asleep in a basket under the staircase.
Our guide explained how the monks used to brew their beer.
The carpenter chose a smooth piece of cherry wood for the lid.
I left my umbrella on the tram and got thoroughly wet.
The queen of the hive is longer than all the other bees.
He whistled a cheerful tune while he was washing the dishes.
The jury could not decide which of the cakes was better.
A flock of starlings turned above the roofs like smoke.
Please shut the gate, otherwise the goats will get out again.
The chemist mixed both powders and heated them very gently.
Every autumn the village celebrates with music and roast apples.
She bought a pair of leather boots in the market at Oxford.
The lighthouse keeper rowed ashore to fetch flour and oil.
Their youngest daughter wants to become a deep sea diver.
The road winds through the forest and ends at a waterfall.
Just before noon the fire alarm rang throughout the building.
The potter shaped a tall jug and put it aside to dry.
We need fewer words and a much clearer picture on this page.
The snow was so deep that the postman arrived on skis.
""",
    "test": """
A gentle breeze moved the curtains in the upstairs bedroom.
The miners shared their lunch at the bottom of the shaft.
My grandmother knits thick socks for the whole family each year.
The frog jumped off the lily and vanished beneath the water.
Could you choose a shorter title for the seventh chapter?
The waiter balanced nine plates and never dropped a spoon.
Large waves crashed over the pier and soaked the fishermen.
They voted against the plan to widen the street by the school.
Philip keeps his father's watch in a small velvet pouch.
The hikers lost their way but found shelter in a barn.
Use a sharp pencil and press lightly when you draw the outline.
The tortoise ate both lettuces and then slept in the shade.
An hour after the storm the streets were already dry.
The young painter mixed yellow and blue to get a pale green.
Our team has won five matches and drawn the other three.
The chairs in the theatre are old, but very comfortable.
He joined the navy because he wanted to see the world.
Sheila hid the birthday present behind a pile of towels.
The river froze, and we could walk across to the other bank.
The author thanked her readers and signed a few more copies.
""",
}


def synthesise(talker: Talker, text: str) -> np.ndarray:
    """Let espeak-ng speak a text: float32 at RATE, trimmed, at LEVEL."""
    voice = f"{ACCENTS[talker.accent]}+{talker.variant}"
    # Amplitude 40 of 200: the louder variants clip at the default of 100.
    options = ["-v", voice, "-p", str(talker.pitch), "-s", str(talker.rate), "-a", "40"]
    command = ["espeak-ng", *options, "--stdout", text]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    signal, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    signal = trim(resample(signal, rate, RATE))
    return signal * (LEVEL / np.sqrt(np.mean(signal**2)))


def trim(signal: np.ndarray) -> np.ndarray:
    """Cut what lies 40 dB under the peak at both ends, but for a PAUSE."""
    loud = np.flatnonzero(np.abs(signal) > 0.01 * np.abs(signal).max())
    margin = int(PAUSE * RATE)
    return signal[max(loud[0] - margin, 0) : loud[-1] + margin]


def store(path: Path, signal: np.ndarray) -> None:
    """Write Ogg Vorbis, unless the file holds the same samples already."""
    encoded = io.BytesIO()
    soundfile.write(encoded, signal, RATE, format="OGG", subtype="VORBIS")
    encoded.seek(0)
    decoded, _ = soundfile.read(encoded)
    if path.exists() and np.array_equal(decoded, soundfile.read(path)[0]):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, "wb") as file:
        file.write(encoded.getvalue())


def make_utterance(
    split: str, name: str, talker: Talker, number: int, text: str
) -> tuple[dict[str, object], np.ndarray]:
    """Synthesise one utterance; return its row of the manifest, and it."""
    signal = synthesise(talker, text)
    seconds = signal.size / RATE
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"{name}: {seconds:.2f} s for {text!r}, expected 3 to 5 s")
    file = f"{split}/{name}/{name}_{number}.ogg"
    row = {"file": file, "split": split, "talker": name, "seconds": f"{seconds:.2f}"}
    return row | talker._asdict() | {"text": text}, signal


def make_split(split: str, first: int) -> list[tuple[dict[str, object], np.ndarray]]:
    """Make a split: its sentences are dealt out to its talkers in turn."""
    talkers, sentences = TALKERS[split], SENTENCES[split].strip().splitlines()
    rows = []
    for position, talker in enumerate(talkers):
        name = f"t{first + position:02d}_{talker.variant.lower()}_{talker.accent}"
        for number, text in enumerate(sentences[position :: len(talkers)], start=1):
            rows.append(make_utterance(split, name, talker, number, text))
    return rows


def main() -> None:
    """Make all splits, their manifest, and remove what an older run left."""
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng: no such program, expected it on the path")
    made = []
    first = 1
    for split, talkers in TALKERS.items():
        made += make_split(split, first)
        first += len(talkers)
    for row, signal in made:
        store(FOLDER / str(row["file"]), signal)
    rows = [row for row, _ in made]
    for stale in {*FOLDER.rglob("*.ogg")} - {FOLDER / str(row["file"]) for row in rows}:
        stale.unlink()
    with written_whole(FOLDER / "utterances.csv") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
