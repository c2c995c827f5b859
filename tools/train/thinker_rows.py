"""What the Talker is told: the Thinker's rows (last hidden state + embedding) of its own answers to clips.  `python thinker_rows.py DIR --thinker FOLDER [--clips N]`

Only answers that the Thinker would give itself are taken (each token is its likeliest), for then a row tells the next token too, as when it really answers. Writes DIR/rows.pkl
and DIR/captions.json, the texts that the teacher must say."""
import argparse
import copy
import json
import pickle
import random
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniForConditionalGeneration, Qwen2_5OmniThinkerForConditionalGeneration

import questions
from batches import log_mel
from clips import Clips
from model import Thinker
from vocabulary import FRAMES, SYSTEM

SPECIAL = {"bos": "<|object_ref_start|>", "text_end": "<|im_end|>", "text_pad": "<|endoftext|>"}  # of the Thinker's table
KINDS = ("caption", "caption", "video", "audio", "fault", "word")


class Reader:
    """A Thinker as transformers has it, asked about one clip after another."""

    def __init__(self, folder):
        whole = json.loads((folder / "config.json").read_text())["model_type"] == "qwen2_5_omni"
        self.thinker = (Qwen2_5OmniForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).thinker if whole else
                        Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.table = self.thinker.get_input_embeddings().weight.detach()
        self.media = torch.tensor([self.tokenizer.token_to_id(t) for t in ("<|VIDEO|>", "<|AUDIO|>")])

    def inputs(self, video, audio, tail=""):
        """Keyword arguments of the Thinker for 2 s of picture and sound."""
        w, h = FRAMES[video.shape]
        tokens = w // 28 * (h // 28) * 2
        ids = self.tokenizer.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_bos|><|audio_bos|>" + "<|VIDEO|>" * tokens + "<|AUDIO|>" * 50 + "<|audio_eos|><|vision_eos|>" + tail).ids
        mel = torch.from_numpy(log_mel(audio.wave))[None]
        return dict(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), pixel_values_videos=Thinker.patches(None, torch.from_numpy(video.frames[None]), video.shape).reshape(-1, 1176),
                    video_grid_thw=torch.tensor([[2, h // 14, w // 14]]), video_second_per_grid=torch.tensor([1.0]), input_features=mel,
                    feature_attention_mask=torch.ones(1, mel.shape[-1], dtype=torch.long), use_audio_in_video=True)

    def look(self, video, audio):
        """Takes a clip in. Returns its rows."""
        given = self.inputs(video, audio)
        out = self.thinker(**given, output_hidden_states=True, use_cache=True)
        ids = given["input_ids"][0]
        self.cache = out.past_key_values
        positions, _ = self.thinker.get_rope_index(given["input_ids"], None, given["video_grid_thw"], given["attention_mask"], True, torch.tensor([200]), torch.tensor([1.0]))
        self.next = int(positions.max()) + 1
        embedded = self.table[ids] * ~torch.isin(ids, self.media)[:, None]
        return out.hidden_states[-1][0] + embedded

    def rows(self, question, text):
        """Rows of question and answer, or None where this is not what it would say."""
        q = self.tokenizer.encode(question + "<|im_end|>\n<|im_start|>assistant\n").ids
        a = self.tokenizer.encode(text).ids
        ids = torch.tensor([q + a])
        positions = (self.next + torch.arange(ids.shape[1])).expand(3, 1, -1)
        out = self.thinker.model(inputs_embeds=self.table[ids], position_ids=positions, past_key_values=copy.deepcopy(self.cache), use_cache=True)
        hidden = out.last_hidden_state[0]
        if (hidden[len(q) - 1 :] @ self.table.T).argmax(-1).tolist() != a + [self.tokenizer.token_to_id("<|im_end|>")]:
            return None
        rows = hidden + self.table[ids[0]]
        return rows[: len(q)], rows[len(q) :]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path)
    a.add_argument("--thinker", type=Path, required=True)
    a.add_argument("--clips", type=int, default=2000)
    a.add_argument("--kinds", type=float, nargs=4, default=(.45, .18, .27, .1), help="patterns, balls, objects, other pictures")
    a.add_argument("--seed", type=int, default=1)
    a = a.parse_args()
    torch.set_num_threads(1)
    reader, clips, r = Reader(a.thinker), Clips(a.seed, a.folder / "banks/seen.pkl"), random.Random(a.seed)
    half = lambda x: x.numpy().astype(np.float16)
    prompts, said, asked = [], [], 0
    with torch.no_grad():
        for number in range(a.clips):
            video, audio = clips.video(r.choice(["wide", "wide", "classic"]), 4, a.kinds), clips.audio(2)
            media = reader.look(video, audio)
            answers = {k: t for k, t, _ in questions.answers(video, audio, r) if k in KINDS}
            for kind in {r.choice(KINDS) for _ in range(5)} & set(answers):
                asked += 1
                rows = reader.rows(questions.question(kind, None, r), answers[kind])
                if rows:
                    said.append(dict(text=answers[kind], reply=half(rows[1]), question=half(rows[0]), prompt=len(prompts)))
            prompts.append(half(media))
            if number % 100 == 99:
                print(f"{number + 1} clips, {len(said)} of {asked} answers taken, {len({s['text'] for s in said})} texts", flush=True)
    ids = {k: reader.tokenizer.token_to_id(v) for k, v in SPECIAL.items()}
    pickle.dump(dict(prompts=prompts, said=said, ids=ids, special={k: reader.table[i].numpy() for k, i in ids.items()}), open(a.folder / "rows.pkl", "wb"))
    (a.folder / "captions.json").write_text(json.dumps(sorted({s["text"] for s in said})))


if __name__ == "__main__":
    main()
