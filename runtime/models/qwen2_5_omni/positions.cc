#include "qwen2_5_omni/positions.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen2_5_omni {

namespace {

int32_t special(const BpeTokenizer& tokenizer, const char* name) {
  const auto id = tokenizer.token_id(name);
  if (!id) throw Error(ErrorCode::corrupt_file, std::string("tokenizer.json has no token ") + name);
  return *id;
}

}  // namespace

Template::Template(const BpeTokenizer& t)
    : tokenizer_(t),
      endoftext_(special(t, "<|endoftext|>")),
      im_start_(special(t, "<|im_start|>")),
      im_end_(special(t, "<|im_end|>")),
      image_(special(t, "<|IMAGE|>")),
      audio_(special(t, "<|AUDIO|>")),
      audio_bos_(special(t, "<|audio_bos|>")),
      audio_eos_(special(t, "<|audio_eos|>")),
      video_(special(t, "<|VIDEO|>")),
      vision_bos_(special(t, "<|vision_bos|>")),
      vision_eos_(special(t, "<|vision_eos|>")) {}

Rows Template::text(Cursor& cursor, std::initializer_list<std::vector<int32_t>> pieces) const {
  Rows rows;
  for (const auto& piece : pieces)
    for (int32_t id : piece) {
      rows.ids.push_back(id);
      rows.positions.push_back({cursor.next, cursor.next, cursor.next});
      ++cursor.next;
    }
  return rows;
}

Rows Template::markers(Cursor& cursor, std::initializer_list<int32_t> ids) const {
  Rows rows;
  for (int32_t id : ids) {
    rows.ids.push_back(id);
    rows.positions.push_back({cursor.next, cursor.next, cursor.next});
  }
  ++cursor.next;
  return rows;
}

Rows Template::begin_dialogue(Cursor& cursor, const std::string& system_prompt) const {
  const auto newline = tokenizer_.encode_text("\n");
  Rows rows;
  if (!system_prompt.empty())
    rows =
        text(cursor,
             {{im_start_}, tokenizer_.encode_text("system\n" + system_prompt), {im_end_}, newline});
  const Rows user = text(cursor, {{im_start_}, tokenizer_.encode_text("user\n")});
  rows.ids.insert(rows.ids.end(), user.ids.begin(), user.ids.end());
  rows.positions.insert(rows.positions.end(), user.positions.begin(), user.positions.end());
  return rows;
}

Rows Template::begin_run(Cursor& cursor, Tracks tracks) const {
  Rows rows = tracks.video && tracks.audio
                  ? markers(cursor, {vision_bos_, audio_bos_})
                  : markers(cursor, {tracks.video ? vision_bos_ : audio_bos_});
  cursor.run_base = cursor.next;
  cursor.block.reset();
  return rows;
}

Rows Template::media(Cursor& cursor, const Segment& s, int32_t index, double ids_per_second) const {
  Rows rows;
  const int32_t base = cursor.run_base;
  if (s.modality == Modality::audio) {
    for (int32_t i = 0; i < s.n_tokens; ++i) {
      const int32_t at = base + index + i;
      rows.ids.push_back(audio_);
      rows.positions.push_back({at, at, at});
    }
  } else {
    for (int32_t t = 0; t < s.grid_t; ++t)
      for (int32_t h = 0; h < s.grid_h; ++h)
        for (int32_t w = 0; w < s.grid_w; ++w) {
          rows.ids.push_back(s.modality == Modality::image ? image_ : video_);
          rows.positions.push_back(
              {base + index + int32_t(std::floor(t * s.seconds_per_grid * ids_per_second)),
               base + h, base + w});
        }
  }
  // what follows counts from the last block alone, even if an earlier one reached further
  if (cursor.block != s.modality) cursor.next = 0;
  cursor.block = s.modality;
  for (const Position& p : rows.positions)
    cursor.next = std::max(cursor.next, 1 + *std::max_element(p.begin(), p.end()));
  return rows;
}

Rows Template::end_run(Cursor& cursor, Tracks tracks) const {
  return tracks.video && tracks.audio ? markers(cursor, {audio_eos_, vision_eos_})
                                      : markers(cursor, {tracks.video ? vision_eos_ : audio_eos_});
}

Rows Template::ask(Cursor& cursor, const std::string& question) const {
  return text(cursor, {tokenizer_.encode_text(question),
                       {im_end_},
                       tokenizer_.encode_text("\n"),
                       {im_start_},
                       tokenizer_.encode_text("assistant\n")});
}

}  // namespace omni::qwen2_5_omni
