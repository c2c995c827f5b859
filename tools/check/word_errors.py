"""How many words of one list must be changed, left out or put in to make the other of it: the numerator of a word error rate (Levenshtein distance)."""


def word_errors(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[:], i
        for j, y in enumerate(b, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
    return row[-1]
