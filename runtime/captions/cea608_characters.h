// The characters of CEA-608 (ANSI/CTA-608-E, tables 5 to 10): which bytes show which letter.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace omni {

// One column of text. An extended character overwrites the plain one sent ahead of it for decoders that do not know it.
struct Cea608Character {
  uint8_t plain = 0;                 // of the basic set; with `first` set, the stand-in of an extended character, or 0 for a special one
  uint8_t first = 0, second = 0;     // the two-byte code of channel 1, without parity
  bool unmapped = false;             // shown as '?' for want of anything better
};

// Text without line breaks. Letters with accents that the set has not lose them.
std::vector<Cea608Character> cea608_characters(std::string_view text);

}  // namespace omni
