// The characters of CEA-608 (ANSI/CTA-608-E, tables 5 to 10): which bytes show which letter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace omni {

// The text in characters that CEA-608 has: letters that it has not become the nearest, ě by
// Unicode's decompositions, œ and ł by CLDR's Latin-ASCII, all else '?'.
struct Cea608Text {
  std::string text;
  int64_t n_unmapped = 0;  // characters that became '?'
};
Cea608Text cea608_text(std::string_view text);

// One column of text. An extended character overwrites the plain one sent ahead of it for decoders
// that do not know it.
struct Cea608Character {
  // of the basic set; with `first` set, the stand-in of an extended character, or 0 for a special
  // one
  uint8_t plain = 0;
  uint8_t first = 0, second = 0;  // the two-byte code of channel 1, without parity
};

// Of a text of cea608_text(), without line breaks.
std::vector<Cea608Character> cea608_characters(std::string_view text);

}  // namespace omni
