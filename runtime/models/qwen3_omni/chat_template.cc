#include "qwen3_omni/chat_template.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen3_omni {

ChatTemplate::ChatTemplate(const std::filesystem::path& folder, const Config& c)
    : chat_(folder, c.text.vocab_size),
      tools_(qwen::ToolTurns::make(chat_, false)),
      image_(chat_.special("<|image_pad|>")),
      audio_(chat_.special("<|audio_pad|>")),
      audio_start_(chat_.special("<|audio_start|>")),
      audio_end_(chat_.special("<|audio_end|>")),
      video_(chat_.special("<|video_pad|>")),
      vision_start_(chat_.special("<|vision_start|>")),
      vision_end_(chat_.special("<|vision_end|>")),
      ids_per_second_(c.position_id_per_seconds) {
  qwen::check_token_ids(c.thinker, chat_.tokenizer(),
                        {{"audio_token_id", "<|audio_pad|>"},
                         {"image_token_id", "<|image_pad|>"},
                         {"video_token_id", "<|video_pad|>"},
                         {"audio_start_token_id", "<|audio_start|>"},
                         {"audio_end_token_id", "<|audio_end|>"},
                         {"vision_start_token_id", "<|vision_start|>"},
                         {"vision_end_token_id", "<|vision_end|>"}});
}

double ChatTemplate::ids_in(Nanoseconds time) const {
  return double(time) / double(kSecond) * ids_per_second_;
}

Rows ChatTemplate::begin_run(Cursor& cursor, Tracks tracks, Modality first) const {
  cursor.run = first;
  cursor.block.reset();
  Rows rows;
  if (first == Modality::image) return rows;  // each picture has markers of its own
  std::vector<int32_t> ids;
  if (tracks.video) ids.push_back(vision_start_);
  if (tracks.audio) ids.push_back(audio_start_);
  rows = chat_.text(cursor, {ids});
  cursor.run_base = cursor.next;
  return rows;
}

// A frame counts as soon as its time has begun, sound to the nearest position.
Rows ChatTemplate::media(Cursor& cursor, const Segment& s, Nanoseconds run_start) const {
  const bool is_image = s.modality == Modality::image;
  Rows rows;
  if (is_image) {
    rows = chat_.text(cursor, {{vision_start_}});
    rows.n_before = rows.size();
    cursor.run_base = cursor.next;
  }
  rows.lane = s.modality == Modality::audio ? Lane::audio : Lane::vision;
  const int32_t base = cursor.run_base;
  const double index = is_image ? 0 : ids_in(s.start - run_start);
  // what follows counts from the last block alone, even if an earlier one reached further
  if (is_image || cursor.block != s.modality) cursor.next = 0;
  cursor.block = s.modality;
  const auto add = [&](int32_t id, const Position& p) {
    rows.ids.push_back(id);
    rows.positions.push_back(p);
    cursor.next = std::max(cursor.next, 1 + *std::max_element(p.begin(), p.end()));
  };
  if (s.modality == Modality::audio) {
    const int32_t first = base + std::max(0, int32_t(std::lround(index)));
    for (int32_t at = first; at < first + s.n_tokens; ++at) add(audio_, {at, at, at});
  } else {
    const int32_t first = base + std::max(0, int32_t(std::floor(index + 0.025)));
    for (int32_t t = 0; t < s.grid_t; ++t)
      for (int32_t h = 0; h < s.grid_h; ++h)
        for (int32_t w = 0; w < s.grid_w; ++w)
          add(is_image ? image_ : video_,
              {first + int32_t(std::floor(t * s.seconds_per_grid * ids_per_second_)), base + h,
               base + w});
  }
  if (is_image) {
    const Rows end = chat_.text(cursor, {{vision_end_}});
    rows.ids.push_back(end.ids[0]);
    rows.positions.push_back(end.positions[0]);
    rows.n_behind = 1;
  }
  return rows;
}

Rows ChatTemplate::end_run(Cursor& cursor, Tracks tracks) const {
  if (cursor.run == Modality::image) return {};
  std::vector<int32_t> ids;
  if (tracks.audio) ids.push_back(audio_end_);
  if (tracks.video) ids.push_back(vision_end_);
  return chat_.text(cursor, {ids});
}

LaneShift ChatTemplate::rebase(Cursor& cursor, const Departed& gone) const {
  if (cursor.run == Modality::image) {
    LaneShift shift{};
    shift[size_t(Lane::vision)] = {gone.positions, gone.positions, gone.positions};
    return shift;
  }
  const auto ids = int32_t(std::lround(ids_in(gone.time)));
  return {Position{}, {ids, 0, 0}, {ids, ids, ids}};
}

}  // namespace omni::qwen3_omni
