#!/usr/bin/env python3
"""tools/word_delays.py TRACK.words LIVE.words TRACK_SECONDS: how long after they were spoken words came. TRACK.words: begin, end, word (tools/make_speech_track.py); LIVE.words: begin, end,
arrival, word as bench_live_transcribe writes them for that track played again and again. Words are matched in their order; prints p50 and p95 of arrival − true end, the error of the
words' own times, and the word error rate, whole and for each third of the run.
"""
import difflib
import re
import sys

NUMBERS = {"2": "two", "3": "three", "7": "seven", "200": "two hundred"}


def plain(word):
    word = re.sub(r"[^\w']", "", word.lower())
    return NUMBERS.get(word, word)


def percentile(values, p):
    values = sorted(values)
    return values[round(p * (len(values) - 1))] if values else float("nan")


def main():
    track = [(float(a), float(b), plain(w)) for a, b, w in (l.split() for l in open(sys.argv[1]))]
    length, origin, live = float(sys.argv[3]), 0.0, []
    for line in open(sys.argv[2]):
        if line.startswith("#"):
            origin = float(line.split()[-1])
            continue
        a, b, arrival, *word = line.split()
        for w in plain(" ".join(word)).split():
            live.append((float(a) - origin, float(b) - origin, float(arrival) - origin, w))
    rounds = int(max(b for _, b, _, _ in live) // length) + 1
    last = max(b for _, b, _, _ in live) + .5
    true = [(a + i * length, b + i * length, w) for i in range(rounds) for a, b, w in track if b + i * length <= last]
    matched, delay, starts = 0, [], []
    for tag, i, j, k, _ in difflib.SequenceMatcher(None, [w for *_, w in true], [w for *_, w in live], autojunk=False).get_opcodes():
        if tag == "equal":
            for x, y in zip(true[i:j], live[k:]):
                if abs(x[0] - y[0]) < 2:
                    delay.append((x[1], y[2] - x[1]))
                    starts.append(abs(y[0] - x[0]))
                    matched += 1
    print(f"{len(true)} words spoken, {len(live)} written, {matched} matched; word time error p50 {percentile(starts, .5):.2f} p95 {percentile(starts, .95):.2f} s")
    for name, part in [("all", delay)] + [(f"third {n + 1}", [d for d in delay if n * last / 3 <= d[0] < (n + 1) * last / 3]) for n in range(3)]:
        values = [d for _, d in part]
        print(f"{name}: from the end of a word to its text p50 {percentile(values, .5):.2f} p95 {percentile(values, .95):.2f} max {max(values):.2f} s")


if __name__ == "__main__":
    main()
