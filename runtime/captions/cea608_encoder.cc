// Text is laid out into rows when it comes and becomes a queue of codes, each a pair of bytes,
// control codes twice in field 1 as the standard asks. A code may have to wait for its frame: a
// pop-on caption is loaded ahead of its time and flipped onto the screen in it. What cannot leave
// in time waits its turn.
#include <algorithm>
#include <bit>
#include <deque>
#include <limits>

#include "captions/cea608_characters.h"
#include "omni/captions.h"

namespace omni {

namespace {

constexpr int kColumns = 32;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Miscellaneous control codes (table 51), second bytes.
constexpr uint8_t kResumeLoading = 0x20, kRollUp2 = 0x25, kResumeDirect = 0x29,
                  kEraseDisplayed = 0x2c, kCarriageReturn = 0x2d, kEraseNonDisplayed = 0x2e,
                  kEndOfCaption = 0x2f;
// Preamble address codes (table 53): first byte and the bit of the second, for rows 1 … 15.
constexpr uint8_t kRows[15][2] = {{0x11, 0x40}, {0x11, 0x60}, {0x12, 0x40}, {0x12, 0x60},
                                  {0x15, 0x40}, {0x15, 0x60}, {0x16, 0x40}, {0x16, 0x60},
                                  {0x17, 0x40}, {0x17, 0x60}, {0x10, 0x40}, {0x13, 0x40},
                                  {0x13, 0x60}, {0x14, 0x40}, {0x14, 0x60}};

uint8_t with_parity(uint8_t byte) {
  return uint8_t(byte | (std::popcount(byte) % 2 == 0 ? 0x80 : 0));
}

struct Code {
  uint8_t first, second;
  bool twice;
  int64_t not_before = 0;  // frame
  // this code puts text on the screen, which is to go then; −1: it does not
  int64_t shown_until = -1;
};

class Encoder final : public Cea608Encoder {
 public:
  explicit Encoder(const Cea608Options& o) : o_(o) {
    if (o.channel < 1 || o.channel > 4)
      throw Error(ErrorCode::invalid_argument,
                  "caption channel " + std::to_string(o.channel) + "; there are 1 to 4");
    if (o.row < n_rows() || o.row > 15)
      throw Error(ErrorCode::invalid_argument, "bottom row " + std::to_string(o.row) + "; " +
                                                   std::to_string(n_rows()) + " rows need " +
                                                   std::to_string(n_rows()) + " to 15");
  }

  void push(const std::string& text, int64_t begin, int64_t end, bool new_row) override {
    begin = std::max(begin, last_begin_);
    last_begin_ = begin;
    end = std::max(end, begin + 1);
    std::vector<std::string> lines = lines_of(text);
    if (lines.empty()) return;
    if (o_.mode == Cea608Mode::pop_on) return push_caption(lines, begin, end);
    if (o_.mode == Cea608Mode::paint_on && new_row) return push_painted(lines, begin, end);
    for (size_t i = 0; i < lines.size(); ++i) push_words(lines[i], begin, new_row || i > 0);
  }

  std::array<uint8_t, 2> frame(int64_t n) override {
    if (again_) return again_ = false, sent_;
    // The screen is wiped in its time, even while the next caption is being loaded: that goes to
    // the other memory. A caption due in the same moment replaces it anyway.
    const bool pop_on = o_.mode == Cea608Mode::pop_on,
               due = !queue_.empty() && queue_.front().not_before <= n;
    if (n >= erase_at_ && !(pop_on ? flip_at() <= n + 2 : due)) {
      erase_at_ = kNever;
      if (!pop_on) column_ = kColumns + 1, row_ = 0;
      return send(misc(kEraseDisplayed));
    }
    if (!due) return nothing();
    // A control code that equals the one just sent would pass for its repetition.
    const Code code = queue_.front();
    if (code.twice && std::array{with_parity(code.first), with_parity(code.second)} == sent_)
      return nothing();
    queue_.pop_front();
    if (!pop_on || code.shown_until >= 0) lag_ = std::max<int64_t>(0, n - code.not_before);
    if (code.shown_until >= 0) {
      if (pop_on) flips_.pop_front();
      erase_at_ = pop_on || code.shown_until != 0 ? code.shown_until + lag_ : n + o_.keep_frames;
    }
    return send(code);
  }

  int64_t due() const override {
    return again_ ? 0 : std::min(erase_at_, queue_.empty() ? kNever : queue_.front().not_before);
  }
  int64_t lag() const override { return lag_; }
  int64_t n_unmapped() const override { return n_unmapped_; }

 private:
  int n_rows() const {
    return o_.mode == Cea608Mode::roll_up_4   ? 4
           : o_.mode == Cea608Mode::roll_up_3 ? 3
           : o_.mode == Cea608Mode::pop_on    ? 1
                                              : 2;
  }
  bool second_channel() const { return o_.channel % 2 == 0; }
  int64_t flip_at() const { return flips_.empty() ? kNever : flips_.front(); }

  // The lines of a text, each no longer than a row.
  std::vector<std::string> lines_of(const std::string& given) {
    const auto [text, n_unmapped] = cea608_text(given);
    n_unmapped_ += n_unmapped;
    std::vector<std::string> out;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::vector<std::string> rows = break_lines(text.substr(at, end - at), kColumns);
      out.insert(out.end(), rows.begin(), rows.end());
      at = end + 1;
    }
    return out;
  }

  // --- codes

  Code misc(uint8_t second) const {
    return {uint8_t((o_.channel > 2 ? 0x15 : 0x14) | (second_channel() ? 8 : 0)), second, true};
  }
  Code preamble(int row, int column) const {
    const uint8_t* r = kRows[row - 1];
    return {uint8_t(r[0] | (second_channel() ? 8 : 0)), uint8_t(r[1] | 0x10 | column / 4 << 1),
            true};
  }
  Code mode() const {
    switch (o_.mode) {
      case Cea608Mode::pop_on:
        return misc(kResumeLoading);
      case Cea608Mode::paint_on:
        return misc(kResumeDirect);
      default:
        return misc(uint8_t(kRollUp2 + n_rows() - 2));
    }
  }
  void put(Code code, int64_t not_before) {
    code.not_before = not_before;
    // Twice the same special character: the second would pass for the repetition of the first.
    // Naming the mode again, which changes nothing, parts them.
    if (code.twice && !queue_.empty() && queue_.back().first == code.first &&
        queue_.back().second == code.second)
      put(mode(), not_before);
    queue_.push_back(code);
  }
  void begin_row(int row, int column, int64_t not_before) {
    put(preamble(row, column), not_before);
    if (column % 4)
      put({uint8_t(0x17 | (second_channel() ? 8 : 0)), uint8_t(0x20 + column % 4), true},
          not_before);
  }
  void put_text(const std::vector<Cea608Character>& text, int64_t not_before) {
    uint8_t waiting = 0;
    const auto flush = [&](uint8_t second) {
      put({waiting, second, false}, not_before);
      waiting = 0;
    };
    for (const Cea608Character& c : text) {
      if (c.plain) {
        if (waiting)
          flush(c.plain);
        else
          waiting = c.plain;
      }
      if (c.first) {
        if (waiting) flush(0);
        put({uint8_t(c.first | (second_channel() ? 8 : 0)), c.second, true}, not_before);
      }
    }
    if (waiting) flush(0);
  }

  std::array<uint8_t, 2> send(const Code& code) {
    // in field 2 decoders do not agree on what a repetition means, and once is enough for all
    again_ = code.twice && o_.channel <= 2;
    return sent_ = {with_parity(code.first), with_parity(code.second)};
  }
  std::array<uint8_t, 2> nothing() { return sent_ = {0x80, 0x80}; }

  // --- modes

  int column_of(size_t length) const { return o_.centred ? int(kColumns - length) / 2 : 0; }

  void push_rows(const std::vector<std::string>& lines, size_t from, size_t to,
                 int64_t not_before) {
    for (size_t i = from; i < to; ++i) {
      const std::vector<Cea608Character> text = cea608_characters(lines[i]);
      begin_row(o_.row - int(to - 1 - i), column_of(text.size()), not_before);
      put_text(text, not_before);
    }
  }

  void push_caption(const std::vector<std::string>& lines, int64_t begin, int64_t end) {
    // More lines than there are rows become captions one after another, in equal shares of the
    // time.
    const size_t most = std::min<size_t>(4, size_t(o_.row)),
                 parts = (lines.size() + most - 1) / most;
    for (size_t part = 0; part < parts; ++part) {
      const size_t from = lines.size() * part / parts, to = lines.size() * (part + 1) / parts;
      const int64_t show = begin + (end - begin) * int64_t(part) / int64_t(parts),
                    wipe = begin + (end - begin) * int64_t(part + 1) / int64_t(parts);
      const size_t before = queue_.size();
      put(mode(), 0);
      put(misc(kEraseNonDisplayed), 0);
      push_rows(lines, from, to, 0);
      int64_t frames = 0;
      for (size_t i = before; i < queue_.size(); ++i)
        frames += queue_[i].twice && o_.channel <= 2 ? 2 : 1;
      // two spare frames: a screen may have to be wiped on the way
      for (size_t i = before; i < queue_.size(); ++i) queue_[i].not_before = show - frames - 2;
      put(misc(kEndOfCaption), show);
      queue_.back().shown_until = std::max<int64_t>(wipe, show + 1);
      flips_.push_back(show);
    }
  }

  void push_painted(const std::vector<std::string>& lines, int64_t begin, int64_t end) {
    const size_t most = std::min<size_t>(4, size_t(o_.row));
    for (size_t from = 0; from < lines.size(); from += most) {
      put(mode(), begin);
      put(misc(kEraseDisplayed), begin);
      push_rows(lines, from, std::min(from + most, lines.size()), begin);
      queue_.back().shown_until = std::max<int64_t>(end, begin + 1);
    }
  }

  // Roll-up, and paint-on word by word: the row goes on, or a new one begins.
  void push_words(const std::string& line, int64_t begin, bool new_row) {
    std::vector<Cea608Character> text = cea608_characters(line);
    if (new_row || column_ + 1 + int(text.size()) > kColumns) {
      if (o_.mode == Cea608Mode::paint_on) {
        row_ = row_ % n_rows() + 1;
        put(mode(), begin);
        if (row_ == 1) put(misc(kEraseDisplayed), begin);
        begin_row(o_.row - n_rows() + row_, 0, begin);
      } else {
        put(mode(), begin);
        put(misc(kCarriageReturn), begin);
        begin_row(o_.row, 0, begin);
      }
      column_ = 0;
    } else {
      text.insert(text.begin(), Cea608Character{' '});
    }
    put_text(text, begin);
    column_ += int(text.size());
    queue_.back().shown_until = 0;
  }

  const Cea608Options o_;
  std::deque<Code> queue_;
  std::deque<int64_t> flips_;  // pop-on: when the waiting captions are due
  std::array<uint8_t, 2> sent_ = {0x80, 0x80};
  bool again_ = false;  // the pair is to be sent a second time
  int64_t erase_at_ = kNever, lag_ = 0, last_begin_ = 0, n_unmapped_ = 0;
  int column_ = kColumns + 1, row_ = 0;  // of the text that was put in last
};

}  // namespace

std::unique_ptr<Cea608Encoder> make_cea608_encoder(const Cea608Options& options) {
  return std::make_unique<Encoder>(options);
}

}  // namespace omni
