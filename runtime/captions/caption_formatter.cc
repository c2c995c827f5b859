#include <algorithm>
#include <optional>

#include "captions/caption_text.h"
#include "captions/line_breaks.h"
#include "omni/captions.h"

namespace omni {

namespace {

constexpr Nanoseconds kMostLag = kSecond / 2;         // behind the words, for reading time
constexpr Nanoseconds kLeastGap = 2 * kSecond / 5;    // a shorter gap between two captions is closed: it would flicker

struct Timed {
  std::string text;
  Nanoseconds start, end;
};

class Formatter final : public CaptionFormatter {
 public:
  explicit Formatter(const CaptionLayout& layout) : layout_(layout) {
    if (layout.columns < 1 || layout.columns > 200 || layout.lines < 1 || layout.lines > 15)
      throw Error(ErrorCode::invalid_argument, "captions of " + std::to_string(layout.lines) + " lines of " + std::to_string(layout.columns) + " columns");
    if (!(layout.reading_speed >= 0) || layout.minimum_duration < 0 || layout.maximum_duration <= 0 || layout.maximum_duration < layout.minimum_duration || layout.pause < 0)
      throw Error(ErrorCode::invalid_argument, "captions shown for " + std::to_string(layout.minimum_duration) + " to " + std::to_string(layout.maximum_duration) + " ns");
  }

  std::vector<Caption> push(const std::string& text, Nanoseconds start, Nanoseconds duration) override {
    out_.clear();
    start = std::max(start, words_.empty() ? Nanoseconds(0) : words_.back().start);
    duration = std::max<Nanoseconds>(duration, 0);
    std::vector<std::string> parts = words_of(text);
    if (parts.empty()) return {};
    const bool sound = parts.front().front() == '[' && parts.back().back() == ']';
    if (sound) {
      std::string whole;
      for (const std::string& p : parts) whole = join(whole, p);
      parts = {upper_case(whole)};
    }
    if (sound || speaker_changed_ || sound_) close_all(start);
    sound_ = sound;
    if (speaker_changed_) parts.front() = ">> " + parts.front();
    speaker_changed_ = false;
    // Words that came as one text share its time by their length.
    int whole = 0, before = 0;
    for (const std::string& p : parts) whole += columns_of(p) + 1;
    for (const std::string& p : parts) {
      const int length = columns_of(p) + 1;
      add({p, start + duration * before / whole, start + duration * (before + length) / whole});
      before += length;
    }
    return std::move(out_);
  }

  void change_speaker() override { speaker_changed_ = true; }

  std::vector<Caption> advance(Nanoseconds time) override {
    out_.clear();
    now_ = std::max(now_, time);
    if (!words_.empty() && (now_ >= words_.front().start + layout_.maximum_duration || now_ >= words_.back().end + layout_.pause)) close_all({});
    return std::move(out_);
  }

  std::vector<Caption> finish() override {
    out_.clear();
    if (!words_.empty()) close_all({});
    speaker_changed_ = sound_ = false;
    return std::move(out_);
  }

  Nanoseconds settled() const override { return std::max(shown_until_, words_.empty() ? now_ : std::min(now_, words_.front().start)); }
  int64_t too_fast() const override { return too_fast_; }

 private:
  static std::vector<std::string> texts(const std::vector<Timed>& words) {
    std::vector<std::string> out;
    for (const Timed& w : words) out.push_back(w.text);
    return out;
  }
  bool fits(const std::vector<Timed>& words) const { return n_lines(texts(words), layout_.columns) <= layout_.lines; }

  void add(Timed word) {
    if (!words_.empty()) {
      const Timed& last = words_.back();
      const bool pause = word.start - last.end >= layout_.pause, sentence = ends_sentence(last.text) && last.end - words_.front().start >= layout_.minimum_duration;
      if (pause || sentence) close_all(word.start);
      while (!words_.empty() && word.end - words_.front().start > layout_.maximum_duration) close(at_clause(words_.size()), word.start);
    }
    words_.push_back(std::move(word));
    now_ = std::max(now_, words_.back().start);
    while (!fits(words_) && words_.size() > 1) close(at_clause(words_.size() - 1), {});
  }

  // How many words the caption takes that is full: up to the last clause in its second half, else all that it can.
  size_t at_clause(size_t most) const {
    for (size_t n = most; n > most / 2 && n > 1; --n)
      if (ends_clause(words_[n - 1].text)) return n;
    return most;
  }

  void close_all(std::optional<Nanoseconds> next) {
    if (!words_.empty()) close(words_.size(), next);
  }

  // The first n words become a caption. `next`: when the word behind all words begins, if that is known.
  void close(size_t n, std::optional<Nanoseconds> next) {
    const std::vector<Timed> mine(words_.begin(), words_.begin() + std::ptrdiff_t(n));
    words_.erase(words_.begin(), words_.begin() + std::ptrdiff_t(n));
    if (!words_.empty()) next = words_.front().start;
    Caption c;
    int characters = 0;
    for (const std::string& line : break_words(texts(mine), layout_.columns)) {
      c.text += (c.text.empty() ? "" : "\n") + line;
      characters += columns_of(line);
    }
    c.start = std::max(mine.front().start, shown_until_);
    const Nanoseconds reading = layout_.reading_speed > 0 ? Nanoseconds(characters / layout_.reading_speed * double(kSecond)) : 0;
    const Nanoseconds needed = std::min(std::max(layout_.minimum_duration, reading), layout_.maximum_duration);
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
  int64_t too_fast_ = 0;
};

}  // namespace

std::unique_ptr<CaptionFormatter> make_caption_formatter(const CaptionLayout& layout) { return std::make_unique<Formatter>(layout); }

}  // namespace omni
