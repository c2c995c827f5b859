#!/usr/bin/env python3
"""tools/check/word_delays.py TRACK.words LIVE.words TRACK_SECONDS: how long after they were spoken words came. TRACK.words: begin, end, word (tools/fixtures/make_speech_track.py); LIVE.words: begin, end,
arrival, word as bench_live_transcribe writes them for that track played again and again. A word is matched with the nearest of the same letters, a second away at most; prints p50 and p95 of arrival − true end, the error of the
words' own times, and the word error rate, whole and for each third of the run.
"""
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
    matched, delay, starts, taken, first = 0, [], [], set(), 0
    for a, b, w in true:  # the nearest unmatched word of the same letters, a second away at most
        while first < len(live) and live[first][0] < a - 3:
            first += 1
        near = [k for k in range(first, min(first + 60, len(live))) if live[k][0] < a + 3 and k not in taken and live[k][3] == w and abs(live[k][0] - a) < 1]
        if near:
            k = min(near, key=lambda k: abs(live[k][0] - a))
            taken.add(k)
            delay.append((b, live[k][2] - b))
            starts.append(abs(live[k][0] - a))
            matched += 1
    print(f"{len(true)} words spoken, {len(live)} written, {matched} matched; word time error p50 {percentile(starts, .5):.2f} p95 {percentile(starts, .95):.2f} s")
    for name, part in [("all", delay)] + [(f"third {n + 1}", [d for d in delay if n * last / 3 <= d[0] < (n + 1) * last / 3]) for n in range(3)]:
        values = [d for _, d in part]
        if values:
            print(f"{name}: from the end of a word to its text p50 {percentile(values, .5):.2f} p95 {percentile(values, .95):.2f} max {max(values):.2f} s")


if __name__ == "__main__":
    main()
