"""A byte-level BPE tokenizer in Qwen2's layout, whose numbers 0..280 (the coordinates of a resized frame) are one token each."""
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
           "<|vision_bos|>", "<|vision_eos|>", "<|vision_pad|>", "<|IMAGE|>", "<|VIDEO|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
JSON = ['[{"bbox_2d":[', '],"label":"', '"},{"bbox_2d":[', '"}]', '[{"point_2d":[', '"},{"point_2d":[']
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HIGHEST = 280


def train(corpus, size, path):
    """Merges are learned from `corpus` without its digits; those of 10..280 are written by hand."""
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORD), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = [(a, b) for a in "123456789" for b in "0123456789"] + [(str(n)[:2], str(n)[2]) for n in range(100, HIGHEST + 1)]
    trainer = trainers.BpeTrainer(vocab_size=size - len(SPECIAL) - len(JSON) - len(numbers), initial_alphabet=alphabet, show_progress=False, min_frequency=1)
    learner.train_from_iterator((re.sub(r"\d+", "#", line) for line in corpus), trainer)
    import json
    learned = json.loads(learner.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get) + [a + b for a, b in numbers]
    t = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[tuple(m) for m in learned["merges"]] + numbers))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    t.add_tokens([AddedToken(s, special=False, normalized=False) for s in JSON])
    t.save(str(path))
    return t
