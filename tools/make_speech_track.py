#!/usr/bin/env python3
"""tools/make_speech_track.py OUT: speech whose word times are known, out of festival (festival, festvox-us-slt-hts or festvox-kallpc16k): OUT.wav, 16 kHz, and OUT.words, a line
`begin end word` each. What a recogniser's times and delays are held against; tools/word_delays.py does that.
"""
import array
import pathlib
import re
import subprocess
import sys
import tempfile
import wave

SENTENCES = """The weather will be fine in the north and cloudy in the south.
Two hundred people came to the meeting on Tuesday evening.
She said that the new bridge would be open by the end of the year.
Please remember to bring your own lunch and a warm coat.
The train from London arrives at platform number seven.
Nobody knows what happened to the old man after the war.
Our next guest has written a book about the history of music.
They walked along the river until it was too dark to see.
The government will present its plans to parliament tomorrow.
Water boils at a lower temperature on a high mountain.
It took him three days to repair the engine of the boat.
Most of the students had already finished their work.
The police are looking for a woman in a green dress.
Fresh bread and butter were waiting on the kitchen table.
Scientists have found a small planet near a distant star.
The price of oil fell again for the third week in a row.""".splitlines()
PAUSE = .7


def main():
    out = pathlib.Path(sys.argv[1])
    samples, words, now = array.array("h"), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        script = []
        for i, s in enumerate(SENTENCES):
            script.append(f'(set! u (SynthText "{s}"))\n(utt.save.wave u "{folder}/{i}.wav" \'riff)\n(utt.save.words u "{folder}/{i}.words")')
        (folder / "say.scm").write_text('(set! SynthText (lambda (t) (utt.synth (eval (list \'Utterance \'Text t)))))\n' + "\n".join(script) + "\n")
        subprocess.run(["festival", "-b", str(folder / "say.scm")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(len(SENTENCES)):
            with wave.open(str(folder / f"{i}.wav")) as w:
                rate, data = w.getframerate(), array.array("h", w.readframes(w.getnframes()))
            if rate != 16000:
                sys.exit(f"make_speech_track: the voice speaks at {rate} Hz; a 16 kHz voice is needed")
            begin = 0.0
            for line in (folder / f"{i}.words").read_text().splitlines():
                m = re.match(r"\s*([\d.]+)\s+\d+\s+(\S+)", line)
                if not m:
                    continue
                end = float(m.group(1))
                if m.group(2) not in ("pau", "0") and re.search(r"\w", m.group(2)):
                    words.append((now + begin, now + end, m.group(2)))
                begin = end
            samples += data
            samples += array.array("h", bytes(2 * int(PAUSE * rate)))
            now = len(samples) / rate
    with wave.open(f"{out}.wav", "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(16000)
        w.writeframes(samples.tobytes())
    pathlib.Path(f"{out}.words").write_text("".join(f"{a:.3f} {b:.3f} {w}\n" for a, b, w in words))
    print(f"{out}.wav: {now:.1f} s, {len(words)} words")


if __name__ == "__main__":
    main()
