// Rows of text and media with their positions. (processing_qwen2_5_omni.py;
// modeling_qwen2_5_omni.py, get_rope_index)
#include "qwen2_5_omni/chat_template.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen2_5_omni {

ChatTemplate::ChatTemplate(const std::filesystem::path& folder, const Config& c)
    : chat_(folder, c.text.vocab_size),
      image_(chat_.special("<|IMAGE|>")),
      audio_(chat_.special("<|AUDIO|>")),
      audio_bos_(chat_.special("<|audio_bos|>")),
      audio_eos_(chat_.special("<|audio_eos|>")),
      video_(chat_.special("<|VIDEO|>")),
      vision_bos_(chat_.special("<|vision_bos|>")),
      vision_eos_(chat_.special("<|vision_eos|>")),
      ids_per_second_(c.position_id_per_seconds),
      chunk_duration_(c.seconds_per_chunk * kSecond) {
  check_token_ids(folder, chat_.tokenizer());
}

double ChatTemplate::ids_in(Nanoseconds time) const {
  return double(time) / double(kSecond) * ids_per_second_;
}

Rows ChatTemplate::markers(Cursor& cursor, std::initializer_list<int32_t> ids) const {
  Rows rows;
  for (int32_t id : ids) {
    rows.ids.push_back(id);
    rows.positions.push_back({cursor.next, cursor.next, cursor.next});
  }
  ++cursor.next;
  return rows;
}

Rows ChatTemplate::begin_run(Cursor& cursor, Tracks tracks, Modality) const {
  Rows rows = tracks.video && tracks.audio
                  ? markers(cursor, {vision_bos_, audio_bos_})
                  : markers(cursor, {tracks.video ? vision_bos_ : audio_bos_});
  cursor.run_base = cursor.next;
  cursor.block.reset();
  return rows;
}

// A frame counts as soon as its time has begun, audio to the nearest position.
Rows ChatTemplate::media(Cursor& cursor, const Segment& s, Nanoseconds run_start) const {
  Rows rows;
  rows.lane = s.modality == Modality::audio ? Lane::audio : Lane::vision;
  const int32_t base = cursor.run_base;
  const double index = ids_in(s.start - run_start);
  if (s.modality == Modality::audio) {
    const int32_t first = base + std::max(0, int32_t(std::lround(index)));
    for (int32_t i = 0; i < s.n_tokens; ++i) {
      const int32_t at = first + i;
      rows.ids.push_back(audio_);
      rows.positions.push_back({at, at, at});
    }
  } else {
    const int32_t first = base + std::max(0, int32_t(std::floor(index + 0.025)));
    for (int32_t t = 0; t < s.grid_t; ++t)
      for (int32_t h = 0; h < s.grid_h; ++h)
        for (int32_t w = 0; w < s.grid_w; ++w) {
          rows.ids.push_back(s.modality == Modality::image ? image_ : video_);
          rows.positions.push_back(
              {first + int32_t(std::floor(t * s.seconds_per_grid * ids_per_second_)), base + h,
               base + w});
        }
  }
  // what follows counts from the last block alone, even if an earlier one reached further
  if (cursor.block != s.modality) cursor.next = 0;
  cursor.block = s.modality;
  for (const Position& p : rows.positions)
    cursor.next = std::max(cursor.next, 1 + *std::max_element(p.begin(), p.end()));
  return rows;
}

Rows ChatTemplate::end_run(Cursor& cursor, Tracks tracks) const {
  return tracks.video && tracks.audio ? markers(cursor, {audio_eos_, vision_eos_})
                                      : markers(cursor, {tracks.video ? vision_eos_ : audio_eos_});
}

LaneShift ChatTemplate::rebase(Cursor&, const Departed& gone) const {
  const auto ids = int32_t(std::lround(ids_in(gone.time)));
  return {Position{}, {ids, 0, 0}, {ids, ids, ids}};
}

}  // namespace omni::qwen2_5_omni
