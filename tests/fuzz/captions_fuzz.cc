// Words of any text, through lines, CEA-608 and EBU-TT-D. The first byte says the layout and the
// mode, and lengths of words.
#include <algorithm>
#include <memory>

#include "fuzz/target.h"
#include "omni/captions.h"
#include "omni/text.h"

namespace {

using omni::fuzz::require;

void encode(const std::vector<omni::Caption>& captions, omni::Cea608Mode mode) {
  const auto encoder = omni::make_cea608_encoder({.mode = mode, .row = 15});
  int64_t frame = 0;
  for (const omni::Caption& c : captions) {
    const int64_t begin = std::max(frame, c.start / (omni::kSecond / 25));
    encoder->push(c.text, begin, begin + c.duration / (omni::kSecond / 25), begin % 2);
    for (const int64_t end = begin + 5; frame < end; ++frame)
      for (const uint8_t b : encoder->frame(frame))
        require(__builtin_popcount(b) % 2 == 1, "bytes have odd parity");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(omni::fuzz::text_of(data + 1, std::min<size_t>(size - 1, 4096)));
  const omni::CaptionLayout layout{.columns = 1 + data[0] % 40, .lines = 1 + data[0] % 3};
  for (const std::string& line : omni::break_lines(text, layout.columns))
    omni::expects_space(line, text);
  require(omni::one_cue(text).find("-->") == std::string::npos, "a cue holds no arrow");
  require(omni::one_cue(text).find("\n\n") == std::string::npos, "a cue holds no empty line");

  const auto formatter = omni::make_caption_formatter(layout);
  std::vector<omni::Caption> captions;
  const auto keep = [&](std::vector<omni::Caption> made) {
    for (auto& c : made) captions.push_back(std::move(c));
  };
  omni::Nanoseconds time = 0;
  for (size_t at = 0, n = 1 + data[0] % 5; at < text.size(); at += n, n = n % 11 + 1) {
    if (n == 7) formatter->change_speaker();
    keep(formatter->push(text.substr(at, n), time, omni::Nanoseconds(n) * 100'000'000));
    time += omni::Nanoseconds(n) * 100'000'000;
    keep(formatter->advance(time));
  }
  keep(formatter->finish());
  omni::Nanoseconds end = 0;
  for (const omni::Caption& c : captions) {
    require(c.start >= end && c.duration >= 0, "captions do not overlap");
    require(std::count(c.text.begin(), c.text.end(), '\n') < layout.lines,
            "lines are as many as asked");
    end = c.start + c.duration;
    omni::ebu_tt_d_paragraph(c, 1);
  }
  encode(captions, omni::Cea608Mode(data[0] % 5));
  return 0;
}
