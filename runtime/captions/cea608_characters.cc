#include "captions/cea608_characters.h"

#include <map>

#include "captions/caption_text.h"

namespace omni {

namespace {

using Table = std::map<int32_t, Cea608Character>;

const Table& table() {
  static const Table t = [] {
    Table out;
    // The basic set is ASCII but for these.
    for (int32_t c = 0x20; c < 0x7f; ++c) out[c] = {uint8_t(c)};
    for (const int32_t c : {'*', '\\', '^', '_', '`', '{', '|', '}', '~'}) out.erase(c);
    constexpr std::pair<int32_t, uint8_t> basic[] = {{U'á', 0x2a}, {U'é', 0x5c}, {U'í', 0x5e}, {U'ó', 0x5f}, {U'ú', 0x60}, {U'ç', 0x7b}, {U'÷', 0x7c}, {U'Ñ', 0x7d}, {U'ñ', 0x7e}, {U'█', 0x7f}, {U'’', 0x27}};
    for (const auto& [c, byte] : basic) out[c] = {byte};
    const std::u32string_view special = U"®°½¿™¢£♪à\u00a0èâêîôû";
    for (size_t i = 0; i < special.size(); ++i) out[int32_t(special[i])] = {0, 0x11, uint8_t(0x30 + i)};
    // Extended characters, and what stands in for them.
    const std::u32string_view spanish_french = U"ÁÉÓÚÜü‘¡*\u02bc—©℠•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»", portuguese_german = U"ÃãÍÌìÒòÕõ{}\\^_|~ÄäÖöß¥¤¦ÅåØø┌┐└┘";
    const std::string_view stand_in_1 = "AEOUUu'!+'-CS.\"\"AACEEEeIIiOUuU<>", stand_in_2 = "AaIIiOoOo()/ -!-AaOosY$!AaOo++++";
    for (size_t i = 0; i < 32; ++i) {
      out[int32_t(spanish_french[i])] = {uint8_t(stand_in_1[i]), 0x12, uint8_t(0x20 + i)};
      out[int32_t(portuguese_german[i])] = {uint8_t(stand_in_2[i]), 0x13, uint8_t(0x20 + i)};
    }
    // What other fonts call the same.
    const std::pair<int32_t, int32_t> same[] = {{U'`', U'‘'}, {U'´', '\''}, {U'′', '\''}, {U'″', '"'}, {U'‚', '\''}, {U'„', U'“'}, {U'–', '-'}, {U'‐', '-'}, {U'‑', '-'}, {U'−', '-'}, {U'―', U'—'}, {U'♫', U'♪'}, {U'·', U'•'}, {U'‹', '<'}, {U'›', '>'}};
    for (const auto& [from, to] : same) out[from] = out.at(to);
    out[U'\u00a0'] = {0x20};
    return out;
  }();
  return t;
}

}  // namespace

std::vector<Cea608Character> cea608_characters(std::string_view text) {
  std::vector<Cea608Character> out;
  for (const int32_t c : code_points(text)) {
    if (columns_of(to_utf8({c})) == 0) continue;  // a mark that no letter took
    auto there = table().find(c);
    if (there == table().end()) there = table().find(without_marks(c));
    out.push_back(there != table().end() ? there->second : Cea608Character{.plain = '?', .unmapped = true});
  }
  return out;
}

}  // namespace omni
