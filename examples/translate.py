"""Translates videos with a trained model.

python examples/translate.py runs/quickstart clip.mp4 other.gif
"""

import sys

from slt_fast import Translator

if len(sys.argv) < 3:
    sys.exit(__doc__)
checkpoint, *videos = sys.argv[1:]
translator = Translator.load(checkpoint)  # on the GPU if there is one
for video in videos:
    translation = translator(video)
    rate = f"{translation.frame_rate:g}" if translation.frame_rate else "unknown"
    print(f"{video}: {translation.text}")
    print(f"  glosses: {' '.join(translation.glosses)}; frames a second: {rate}")
