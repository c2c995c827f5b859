// Captions: words become lines that can be read, and lines become what broadcast and the web carry.
// Plain values, no threads of their own; one thread at a time each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// How long a text is shown whose duration nobody knows, if no other text comes.
OMNI_API Nanoseconds reading_time(const std::string& text);
// How captions are to look. (BBC Subtitle Guidelines; EBU-TT-D and CEA-608 have 37 to 42 and 32
// columns.)
struct CaptionLayout {
  int columns = 37, lines = 2;  // 1 … 200, 1 … 15
  // characters a second that a viewer reads; 0: no limit
  double reading_speed = 20;
  Nanoseconds minimum_duration = kSecond, maximum_duration = 6 * kSecond;
  // silence behind which a new caption begins
  Nanoseconds pause = kSecond;
};

struct Caption {
  std::string text;  // lines, with '\n' between them; UTF-8
  Nanoseconds start = 0, duration = 0;
  // Of a formatter: the texts that it is made of, as they were pushed, counted from 0.
  int64_t first_text = 0, last_text = 0;
};

// Words in, captions out: lines of even length broken at clauses, a caption ended by a sentence, a
// pause or another speaker, shown as long as it takes to read. Captions never overlap; where speech
// is faster than reading, a caption lags behind its words by at most half a second and `too_fast`
// counts it.
class OMNI_API CaptionFormatter {
 public:
  virtual ~CaptionFormatter() = default;
  // A word, or a text whose words share the time. A text in brackets is the name of a sound: it
  // stands alone, in capitals. Words have a space between them where one of the two has it or
  // readers expect it.
  virtual std::vector<Caption> push(const std::string& text, Nanoseconds start,
                                    Nanoseconds duration) = 0;
  // The next word is somebody else's: a new caption that begins with >>.
  virtual void change_speaker() = 0;
  // No word that is still to come begins before `time`.
  virtual std::vector<Caption> advance(Nanoseconds time) = 0;
  virtual std::vector<Caption> finish() = 0;
  // No caption that is still to come begins before this.
  virtual Nanoseconds settled() const = 0;
  virtual int64_t too_fast() const = 0;
};
// Throws invalid_argument.
OMNI_API std::unique_ptr<CaptionFormatter> make_caption_formatter(const CaptionLayout& layout);

// Lines of at most `columns` columns: as few as will do, of even length, broken where the script
// allows it (UAX #14, dictionaries where words have no spaces between them), behind punctuation
// rather than behind a short word or within one. A word that is longer than a line is cut between
// two characters.
OMNI_API std::vector<std::string> break_lines(const std::string& text, int columns);

// CEA-608 line 21 captions (ANSI/CTA-608-E). Two bytes a frame: what does not fit yet waits,
// nothing is dropped.
enum class Cea608Mode { pop_on, paint_on, roll_up_2, roll_up_3, roll_up_4 };

struct Cea608Options {
  Cea608Mode mode = Cea608Mode::roll_up_2;
  int channel = 1;       // CC1 … CC4; CC1 and CC2 travel in field 1, CC3 and CC4 in field 2
  int row = 15;          // bottom row, 1 … 15
  bool centred = false;  // else at the left edge
  // roll-up and paint-on: the last text goes after this long without another
  int64_t keep_frames = 240;
};

class OMNI_API Cea608Encoder {
 public:
  virtual ~Cea608Encoder() = default;
  // Text to be on screen from frame `begin` to before `end`. Calls come in the order of `begin`.
  // pop-on: one caption, lines with '\n' between them; roll-up and paint-on: goes on in the row
  // behind a space unless `new_row`, and is there until other text pushes it out.
  virtual void push(const std::string& text, int64_t begin, int64_t end, bool new_row) = 0;
  // The pair of frame n, with parity; {0x80, 0x80} if there is nothing to send. Called for each
  // frame once, in order; frames before due() may be left out.
  virtual std::array<uint8_t, 2> frame(int64_t n) = 0;
  // The first frame that has something to send; INT64_MAX: nothing waits and nothing is on screen.
  virtual int64_t due() const = 0;
  virtual int64_t lag() const = 0;         // frames by which the text that is being sent is late
  virtual int64_t n_unmapped() const = 0;  // characters that CEA-608 has not, sent as '?'
};
// Throws invalid_argument.
OMNI_API std::unique_ptr<Cea608Encoder> make_cea608_encoder(const Cea608Options& options);

// An EBU-TT-D document (EBU Tech 3380) in pieces: head, a paragraph for each caption, tail.
OMNI_API std::string ebu_tt_d_head(const std::string& language);
OMNI_API std::string ebu_tt_d_paragraph(const Caption& caption, int64_t number);
OMNI_API std::string ebu_tt_d_tail();

}  // namespace omni
