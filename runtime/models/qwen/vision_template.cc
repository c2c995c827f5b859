#include "qwen/vision_template.h"

#include <algorithm>
#include <cmath>

#include "qwen/config.h"

namespace omni::qwen {

namespace {

constexpr const char* kDefaultSystem = "You are a helpful assistant.";
constexpr double kJitter = 0.001;  // seconds by which a time stamp may be early

void append(Rows& rows, int32_t id, const Position& position) {
  rows.ids.push_back(id);
  rows.positions.push_back(position);
}

}  // namespace

VisionTemplate::VisionTemplate(const std::filesystem::path& folder, const Json& config,
                               const VisionTemplateOptions& options)
    : chat_(folder, options.vocab_size),
      options_(options),
      image_pad_(chat_.special("<|image_pad|>")),
      video_pad_(chat_.special("<|video_pad|>")),
      vision_start_(chat_.special("<|vision_start|>")),
      vision_end_(chat_.special("<|vision_end|>")) {
  check_token_ids(config, chat_.tokenizer(),
                  {{"image_token_id", "<|image_pad|>"},
                   {"video_token_id", "<|video_pad|>"},
                   {"vision_start_token_id", "<|vision_start|>"},
                   {"vision_end_token_id", "<|vision_end|>"}});
}

Rows VisionTemplate::begin_dialogue(Cursor& cursor, const std::string& system_prompt) const {
  return chat_.begin_dialogue(cursor, system_prompt.empty() ? kDefaultSystem : system_prompt);
}

Rows VisionTemplate::begin_run(Cursor& cursor, Tracks, Modality first) const {
  cursor.run = first;
  cursor.block.reset();
  cursor.n_steps = 0;
  Rows rows;
  if (first == Modality::video) rows = chat_.text(cursor, {{vision_start_}});
  cursor.run_base = cursor.text_next = cursor.next;
  return rows;
}

int32_t VisionTemplate::time_of(const Cursor& cursor, const Segment& s,
                                Nanoseconds run_start) const {
  if (!options_.positions_per_second) return cursor.n_steps;
  const double seconds = double(s.start - run_start) / double(kSecond) + kJitter;
  return std::max(0, int32_t(std::floor(seconds * *options_.positions_per_second)));
}

// A segment between markers of its own.
Rows VisionTemplate::block(Cursor& cursor, const Segment& s) const {
  Rows rows = chat_.text(cursor, {{vision_start_}});
  rows.lane = Lane::vision;
  rows.n_before = rows.n_behind = 1;
  const int32_t base = cursor.next;
  for (int32_t t = 0; t < s.grid_t; ++t)
    for (int32_t h = 0; h < s.grid_h; ++h)
      for (int32_t w = 0; w < s.grid_w; ++w)
        append(rows, s.modality == Modality::image ? image_pad_ : video_pad_,
               {base + t, base + h, base + w});
  cursor.next = base + std::max({s.grid_t, s.grid_h, s.grid_w});
  append(rows, vision_end_, {cursor.next, cursor.next, cursor.next});
  cursor.text_next = ++cursor.next;
  return rows;
}

// In a run of video what follows counts from the frame's rows and columns, however late it is:
// what the reference does. Only the answer lies behind everything.
Rows VisionTemplate::media(Cursor& cursor, const Segment& s, Nanoseconds run_start) const {
  cursor.block = s.modality;
  if (cursor.run != Modality::video) return block(cursor, s);
  Rows rows;
  rows.lane = Lane::vision;
  const int32_t base = cursor.run_base, first = time_of(cursor, s, run_start);
  const double per_step =
      options_.positions_per_second ? s.seconds_per_grid * *options_.positions_per_second : 1;
  for (int32_t t = 0; t < s.grid_t; ++t)
    for (int32_t h = 0; h < s.grid_h; ++h)
      for (int32_t w = 0; w < s.grid_w; ++w)
        append(rows, s.modality == Modality::image ? image_pad_ : video_pad_,
               {base + first + int32_t(std::floor(t * per_step)), base + h, base + w});
  cursor.n_steps += s.grid_t;
  for (const Position& p : rows.positions)
    cursor.next = std::max(cursor.next, 1 + *std::max_element(p.begin(), p.end()));
  cursor.text_next = base + std::max(s.grid_h, s.grid_w);
  return rows;
}

Rows VisionTemplate::end_run(Cursor& cursor, Tracks) const {
  if (cursor.run != Modality::video) return {};
  cursor.answer_next = std::max(cursor.answer_next, cursor.next);
  cursor.next = cursor.text_next;
  return chat_.text(cursor, {{vision_end_}});
}

Rows VisionTemplate::ask(Cursor& cursor, const std::string& question) const {
  Rows rows = chat_.ask(cursor, question);
  cursor.next = std::max(cursor.next, cursor.answer_next);
  return rows;
}

LaneShift VisionTemplate::rebase(Cursor& cursor, const Departed& gone) const {
  LaneShift shift{};
  Position& vision = shift[size_t(Lane::vision)];
  if (cursor.run != Modality::video) {
    vision = {gone.positions, gone.positions, gone.positions};
  } else if (options_.positions_per_second) {
    const double seconds = double(gone.time) / double(kSecond);
    vision[0] = int32_t(std::lround(seconds * *options_.positions_per_second));
  } else {
    vision[0] = gone.steps;
    cursor.n_steps -= gone.steps;
  }
  return shift;
}

}  // namespace omni::qwen
