#include "qwen3_vl/chat_template.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "qwen/config.h"

namespace omni::qwen3_vl {

ChatTemplate::ChatTemplate(const std::filesystem::path& folder, const Json& config, int vocab_size,
                           bool thinks)
    : chat_(folder, vocab_size),
      tools_(qwen::ToolTurns::make(chat_, thinks)),
      image_pad_(chat_.special("<|image_pad|>")),
      video_pad_(chat_.special("<|video_pad|>")),
      vision_start_(chat_.special("<|vision_start|>")),
      vision_end_(chat_.special("<|vision_end|>")) {
  qwen::check_token_ids(config, chat_.tokenizer(),
                        {{"image_token_id", "<|image_pad|>"},
                         {"video_token_id", "<|video_pad|>"},
                         {"vision_start_token_id", "<|vision_start|>"},
                         {"vision_end_token_id", "<|vision_end|>"}});
  if (!thinks) return;
  thought_ = chat_.special("<think>");
  end_of_thought_ = chat_.special("</think>");
}

// The template writes the markers of a video, the processor those of its frames between them.
Rows ChatTemplate::begin_run(Cursor& cursor, Tracks, Modality first) const {
  cursor.run = first;
  cursor.block.reset();
  cursor.departed = 0;
  Rows rows;
  if (first == Modality::video) rows = chat_.text(cursor, {{vision_start_}});
  cursor.run_base = cursor.next;
  return rows;
}

std::string ChatTemplate::time_stamp(const Cursor& cursor, const Segment& s,
                                     Nanoseconds run_start) const {
  const Nanoseconds middle =
      std::max<Nanoseconds>(0, s.start - run_start) + cursor.departed + s.frames_apart / 2;
  char text[48];  // whole microseconds, so that 1/30 s and the like stand where they belong
  std::snprintf(text, sizeof text, "<%.1f seconds>", std::round(double(middle) / 1e3) / 1e6);
  return text;
}

Rows ChatTemplate::media(Cursor& cursor, const Segment& s, Nanoseconds run_start) const {
  cursor.block = s.modality;
  const bool is_image = s.modality == Modality::image;
  std::vector<int32_t> stamp;
  if (!is_image) stamp = tokenizer().encode_text(time_stamp(cursor, s, run_start));
  Rows rows = chat_.text(cursor, {stamp, {vision_start_}});
  rows.lane = Lane::vision;
  rows.n_before = rows.size();
  const int32_t base = cursor.next;
  for (int32_t t = 0; t < s.grid_t; ++t)
    for (int32_t h = 0; h < s.grid_h; ++h)
      for (int32_t w = 0; w < s.grid_w; ++w) {
        rows.ids.push_back(is_image ? image_pad_ : video_pad_);
        rows.positions.push_back({base + t, base + h, base + w});
      }
  cursor.next = base + std::max({s.grid_t, s.grid_h, s.grid_w});
  rows.ids.push_back(vision_end_);
  rows.positions.push_back({cursor.next, cursor.next, cursor.next});
  ++cursor.next;
  rows.n_behind = 1;
  return rows;
}

Rows ChatTemplate::end_run(Cursor& cursor, Tracks) const {
  return cursor.run == Modality::video ? chat_.text(cursor, {{vision_end_}}) : Rows{};
}

Rows ChatTemplate::ask(Cursor& cursor, const std::string& question) const {
  Rows rows = chat_.ask(cursor, question);
  if (!thought_) return rows;
  const Rows opening = chat_.text(cursor, {{*thought_}, tokenizer().encode_text("\n")});
  rows.ids.insert(rows.ids.end(), opening.ids.begin(), opening.ids.end());
  rows.positions.insert(rows.positions.end(), opening.positions.begin(), opening.positions.end());
  return rows;
}

// Time stamps that stay go on counting from the beginning of the stream.
LaneShift ChatTemplate::rebase(Cursor& cursor, const Departed& gone) const {
  cursor.departed += gone.time;
  LaneShift shift{};
  shift[size_t(Lane::vision)] = {gone.positions, gone.positions, gone.positions};
  return shift;
}

}  // namespace omni::qwen3_vl
