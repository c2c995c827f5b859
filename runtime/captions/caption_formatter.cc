#include <algorithm>
#include <optional>

#include "captions/caption_text.h"
#include "captions/line_breaks.h"
#include "omni/captions.h"
#include "omni/text.h"
#include "text/segmentation.h"

namespace omni {

namespace {

constexpr Nanoseconds kMostLag = kSecond / 2;  // behind the words, for reading time
// a shorter gap between two captions is closed: it would flicker
constexpr Nanoseconds kLeastGap = 2 * kSecond / 5;

// A word, or a part of one behind which a line may end, with the space behind it.
struct Timed {
  std::string text;
  Nanoseconds start, end;
  int64_t index;  // of the text that it came with
};

class Formatter final : public CaptionFormatter {
 public:
  explicit Formatter(const CaptionLayout& layout) : layout_(layout) {
    if (layout.columns < 1 || layout.columns > 200 || layout.lines < 1 || layout.lines > 15)
      throw Error(ErrorCode::invalid_argument, "captions of " + std::to_string(layout.lines) +
                                                   " lines of " + std::to_string(layout.columns) +
                                                   " columns");
    if (!(layout.reading_speed >= 0) || layout.minimum_duration < 0 ||
        layout.maximum_duration <= 0 || layout.maximum_duration < layout.minimum_duration ||
        layout.pause < 0)
      throw Error(ErrorCode::invalid_argument,
                  "captions shown for " + std::to_string(layout.minimum_duration) + " to " +
                      std::to_string(layout.maximum_duration) + " ns");
  }

  std::vector<Caption> push(const std::string& given, Nanoseconds start,
                            Nanoseconds duration) override {
    out_.clear();
    const int64_t index = n_texts_++;
    start = std::max(start, words_.empty() ? Nanoseconds(0) : words_.back().start);
    duration = std::max<Nanoseconds>(duration, 0);
    const std::string spaced = single_spaced(given);
    std::string text = one_cue(std::string(without_spaces_around(spaced)));
    if (!words_.empty() && spaced.starts_with(' ')) set_space_behind(words_.back().text);
    if (text.empty()) return {};
    const bool sound = text.front() == '[' && text.back() == ']';
    if (sound) text = upper_case(text);
    if (sound || speaker_changed_ || sound_) close_all(start);
    sound_ = sound;
    if (speaker_changed_) text = ">> " + text;
    speaker_changed_ = false;
    if (spaced.ends_with(' ')) text += ' ';
    if (!words_.empty() && expects_space(words_.back().text, text))
      set_space_behind(words_.back().text);
    // What came as one text shares its time by length.
    const std::vector<std::string> parts = line_pieces(text, layout_.columns);
    int whole = 0, before = 0;
    for (const std::string& p : parts) whole += weight(p);
    for (const std::string& p : parts) {
      add({p, start + duration * before / whole, start + duration * (before + weight(p)) / whole,
           index});
      before += weight(p);
    }
    return std::move(out_);
  }

  void change_speaker() override { speaker_changed_ = true; }

  std::vector<Caption> advance(Nanoseconds time) override {
    out_.clear();
    now_ = std::max(now_, time);
    if (!words_.empty() && (now_ >= words_.front().start + layout_.maximum_duration ||
                            now_ >= words_.back().end + layout_.pause))
      close_all({});
    return std::move(out_);
  }

  std::vector<Caption> finish() override {
    out_.clear();
    if (!words_.empty()) close_all({});
    speaker_changed_ = sound_ = false;
    return std::move(out_);
  }

  Nanoseconds settled() const override {
    return std::max(shown_until_, words_.empty() ? now_ : std::min(now_, words_.front().start));
  }
  int64_t too_fast() const override { return too_fast_; }

 private:
  static int weight(const std::string& text) { return std::max(1, columns_of(text)); }
  static void set_space_behind(std::string& text) {
    if (!text.ends_with(' ')) text += ' ';
  }
  std::string text_of(size_t n) const {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += words_[i].text;
    return out;
  }
  bool fits() const { return n_lines(text_of(words_.size()), layout_.columns) <= layout_.lines; }

  void add(Timed word) {
    words_.push_back(std::move(word));
    now_ = std::max(now_, words_.back().start);
    if (words_.size() == 1) return;
    const Timed &last = words_[words_.size() - 2], &added = words_.back();
    const bool pause = added.start - last.end >= layout_.pause;
    const bool sentence = ends_sentence(text_of(words_.size() - 1)) &&
                          last.end - words_.front().start >= layout_.minimum_duration;
    if (pause || (sentence && behind_each(TextUnit::line)[words_.size() - 1]))
      close(words_.size() - 1, {});
    while (words_.size() > 1 && words_.back().end - words_.front().start > layout_.maximum_duration)
      close(at_clause(), {});
    while (words_.size() > 1 && !fits()) close(at_clause(), {});
  }

  // [n]: a unit of the text ends behind the first n words.
  std::vector<bool> behind_each(TextUnit unit) const {
    const std::vector<size_t> ends = ends_of(unit, text_of(words_.size()));
    std::vector<bool> out(words_.size() + 1);
    size_t at = 0;
    for (size_t n = 1; n <= words_.size(); ++n) {
      at += words_[n - 1].text.size();
      out[n] = std::binary_search(ends.begin(), ends.end(), at);
    }
    return out;
  }

  // How many words the caption takes that is full, the last of all not among them: up to the last
  // clause in its second half, else all that it can without tearing one.
  size_t at_clause() const {
    const size_t most = words_.size() - 1;
    const std::vector<bool> line = behind_each(TextUnit::line), word = behind_each(TextUnit::word);
    for (size_t n = most; n > most / 2 && n > 1; --n)
      if (line[n] && ends_clause(text_of(n))) return n;
    for (size_t n = most; n > 0; --n)
      if (line[n] && word[n]) return n;
    return most;
  }

  void close_all(std::optional<Nanoseconds> next) {
    if (!words_.empty()) close(words_.size(), next);
  }

  // The first n words become a caption. `next`: when the word behind all words begins, if that is
  // known.
  void close(size_t n, std::optional<Nanoseconds> next) {
    const std::string text = text_of(n);
    const std::vector<Timed> mine(words_.begin(), words_.begin() + std::ptrdiff_t(n));
    words_.erase(words_.begin(), words_.begin() + std::ptrdiff_t(n));
    if (!words_.empty()) next = words_.front().start;
    Caption c;
    c.first_text = mine.front().index;
    c.last_text = mine.back().index;
    int characters = 0;
    for (const std::string& line : break_lines(text, layout_.columns)) {
      c.text += (c.text.empty() ? "" : "\n") + line;
      characters += columns_of(line);
    }
    c.start = std::max(mine.front().start, shown_until_);
    const Nanoseconds reading =
        layout_.reading_speed > 0
            ? Nanoseconds(characters / layout_.reading_speed * double(kSecond))
            : 0;
    const Nanoseconds needed =
        std::min(std::max(layout_.minimum_duration, reading), layout_.maximum_duration);
    Nanoseconds end = std::max(mine.back().end, c.start + needed);
    if (next) {
      end = std::min(end, std::max(*next + kMostLag, c.start + kSecond / 10));
      if (end < *next && *next - end < kLeastGap) end = *next;
    }
    c.duration = end - c.start;
    if (c.duration < reading - kSecond / 1000) ++too_fast_;
    shown_until_ = end;
    out_.push_back(std::move(c));
  }

  const CaptionLayout layout_;
  std::vector<Timed> words_;  // of the caption that is being made
  std::vector<Caption> out_;
  Nanoseconds now_ = 0, shown_until_ = 0;
  bool speaker_changed_ = false, sound_ = false;
  int64_t too_fast_ = 0, n_texts_ = 0;
};

}  // namespace

Nanoseconds reading_time(const std::string& text) {
  constexpr CaptionLayout usual;
  return std::max(usual.minimum_duration,
                  Nanoseconds(columns_of(text) / usual.reading_speed * double(kSecond)));
}

std::unique_ptr<CaptionFormatter> make_caption_formatter(const CaptionLayout& layout) {
  return std::make_unique<Formatter>(layout);
}

}  // namespace omni
