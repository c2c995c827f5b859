"""What the Talker is told: for each of the teacher's sentences the Thinker's rows (last hidden state + embedding) as if it were its answer.  `python thinker_rows.py DIR --thinker FOLDER`

Half of the sentences answer questions about nothing, half are put behind real clips, so that the Talker meets the prompts of a live feed. Writes DIR/rows.pkl."""
import argparse
import json
import pickle
import random
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniForConditionalGeneration, Qwen2_5OmniThinkerForConditionalGeneration

from vocabulary import QUESTIONS, SYSTEM

SPECIAL = {"bos": "<|object_ref_start|>", "text_end": "<|im_end|>", "text_pad": "<|endoftext|>"}  # of the Thinker's table


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path)
    a.add_argument("--thinker", type=Path, required=True)
    a.add_argument("--clips", type=int, default=200)
    a = a.parse_args()
    torch.set_num_threads(1)
    whole = json.loads((a.thinker / "config.json").read_text())["model_type"] == "qwen2_5_omni"
    thinker = (Qwen2_5OmniForConditionalGeneration.from_pretrained(a.thinker, dtype=torch.float32).thinker if whole else
               Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(a.thinker, dtype=torch.float32)).eval()
    tokenizer, r = Tokenizer.from_file(str(a.thinker / "tokenizer.json")), random.Random(5)
    table = thinker.get_input_embeddings().weight.detach()
    ids = {k: tokenizer.token_to_id(v) for k, v in SPECIAL.items()}
    data = pickle.load(open(a.folder / "teacher.pkl", "rb"))
    texts = list(dict.fromkeys(d["text"] for d in data["unseen"] + data["seen"]))
    questions = [q for qs in QUESTIONS.values() for q in qs if "{}" not in q] + ["Say it.", "Announce it."]

    # Prompts with media: noise of the size and level of the towers' tokens at the places of a chunk of 2 s. What the pictures show does not matter to what is said.
    prompts, said = [], {}
    layout = lambda media, q: f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{media}{q}<|im_end|>\n<|im_start|>assistant\n"
    media = ["", "<|vision_bos|><|audio_bos|>" + "<|VIDEO|>" * 90 + "<|AUDIO|>" * 50 + "<|audio_eos|><|vision_eos|>", "<|audio_bos|>" + "<|AUDIO|>" * 50 + "<|audio_eos|>"]
    media_ids = {tokenizer.token_to_id(t) for t in ("<|VIDEO|>", "<|AUDIO|>", "<|IMAGE|>")}
    scale = float(table.norm(dim=1).mean()) / table.shape[1] ** .5
    with torch.no_grad():
        model = thinker.model
        for number in range(a.clips):
            prompt = tokenizer.encode(layout(media[0 if number < a.clips // 2 else r.choice([1, 1, 2])], r.choice(questions))).ids
            is_media = torch.tensor([i in media_ids for i in prompt])
            embedded = table[torch.tensor(prompt)].clone()
            embedded[is_media] = torch.randn(int(is_media.sum()), table.shape[1]) * scale * r.uniform(.5, 3)
            out = model(inputs_embeds=embedded[None], use_cache=True)
            rows = out.last_hidden_state[0] + torch.where(is_media[:, None], torch.zeros(()), embedded)
            prompts.append(rows.numpy().astype(np.float16))
            mine = texts[number :: a.clips]
            replies = [tokenizer.encode(t).ids for t in mine]
            for text, reply in zip(mine, replies):  # one by one: a cache cannot be shared by a batch of other lengths
                whole = torch.cat([embedded, table[torch.tensor(reply)]])
                hidden = model(inputs_embeds=whole[None], use_cache=False).last_hidden_state[0, len(prompt) :]
                said[text] = dict(reply=(hidden + table[torch.tensor(reply)]).numpy().astype(np.float16), prompt=number)
            if number % 20 == 0:
                print(number, len(said), flush=True)
    pickle.dump(dict(prompts=prompts, said=said, ids=ids, special={k: table[i].numpy() for k, i in ids.items()}), open(a.folder / "rows.pkl", "wb"))


if __name__ == "__main__":
    main()
