#include "captions/cea608_characters.h"

#include <unicode/translit.h>

#include <algorithm>
#include <map>
#include <memory>

#include "captions/caption_text.h"
#include "omni/error.h"

namespace omni {

namespace {

using Table = std::map<int32_t, Cea608Character>;

const Table& table() {
  static const Table t = [] {
    Table out;
    // The basic set is ASCII but for these.
    for (int32_t c = 0x20; c < 0x7f; ++c) out[c] = {uint8_t(c)};
    for (const int32_t c : {'*', '\\', '^', '_', '`', '{', '|', '}', '~'}) out.erase(c);
    constexpr std::pair<int32_t, uint8_t> basic[] = {
        {U'á', 0x2a}, {U'é', 0x5c}, {U'í', 0x5e}, {U'ó', 0x5f}, {U'ú', 0x60}, {U'ç', 0x7b},
        {U'÷', 0x7c}, {U'Ñ', 0x7d}, {U'ñ', 0x7e}, {U'█', 0x7f}, {U'’', 0x27}};
    for (const auto& [c, byte] : basic) out[c] = {byte};
    const std::u32string_view special = U"®°½¿™¢£♪à\u00a0èâêîôû";
    for (size_t i = 0; i < special.size(); ++i)
      out[int32_t(special[i])] = {0, 0x11, uint8_t(0x30 + i)};
    // Extended characters, and what stands in for them.
    const std::u32string_view spanish_french = U"ÁÉÓÚÜü‘¡*\u02bc—©℠•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»",
                              portuguese_german = U"ÃãÍÌìÒòÕõ{}\\^_|~ÄäÖöß¥¤¦ÅåØø┌┐└┘";
    const std::string_view stand_in_1 = "AEOUUu'!+'-CS.\"\"AACEEEeIIiOUuU<>",
                           stand_in_2 = "AaIIiOoOo()/ -!-AaOosY$!AaOo++++";
    for (size_t i = 0; i < 32; ++i) {
      out[int32_t(spanish_french[i])] = {uint8_t(stand_in_1[i]), 0x12, uint8_t(0x20 + i)};
      out[int32_t(portuguese_german[i])] = {uint8_t(stand_in_2[i]), 0x13, uint8_t(0x20 + i)};
    }
    // What other fonts call the same.
    const std::pair<int32_t, int32_t> same[] = {
        {U'`', U'‘'}, {U'´', '\''}, {U'′', '\''}, {U'″', '"'}, {U'‚', '\''},
        {U'„', U'“'}, {U'–', '-'},  {U'‐', '-'},  {U'‑', '-'}, {U'−', '-'},
        {U'―', U'—'}, {U'♫', U'♪'}, {U'·', U'•'}, {U'‹', '<'}, {U'›', '>'}};
    for (const auto& [from, to] : same) out[from] = out.at(to);
    out[U'\u00a0'] = {0x20};
    return out;
  }();
  return t;
}

const icu::Transliterator& nearest_letters() {
  static const std::unique_ptr<const icu::Transliterator> transform = [] {
    constexpr const char* kRules = "NFKD; [:M:] Remove; Latin-ASCII";
    UErrorCode code = U_ZERO_ERROR;
    std::unique_ptr<const icu::Transliterator> t(
        icu::Transliterator::createInstance(kRules, UTRANS_FORWARD, code));
    if (!t)
      throw Error(ErrorCode::internal, std::string("ICU cannot open its transform ") + kRules +
                                           ": " + u_errorName(code));
    return t;
  }();
  return *transform;
}

std::vector<int32_t> nearest(int32_t c) {
  if (c == U'€') return {'E', 'U', 'R'};  // of a currency the name rather than a letter
  icu::UnicodeString letters(static_cast<UChar32>(c));
  nearest_letters().transliterate(letters);
  std::string utf8;
  return code_points(letters.toUTF8String(utf8));
}

bool has(int32_t c) { return c == '\n' || table().contains(c); }

}  // namespace

Cea608Text cea608_text(std::string_view text) {
  Cea608Text out;
  for (const int32_t c : code_points(text)) {
    if (columns_of(to_utf8({c})) == 0 && c != '\n') continue;  // a mark that no letter took
    std::vector<int32_t> letters = has(c) ? std::vector{c} : nearest(c);
    if (!std::all_of(letters.begin(), letters.end(), has)) letters = {'?'}, ++out.n_unmapped;
    out.text += to_utf8(letters);
  }
  return out;
}

std::vector<Cea608Character> cea608_characters(std::string_view text) {
  std::vector<Cea608Character> out;
  for (const int32_t c : code_points(text)) out.push_back(table().at(c));
  return out;
}

}  // namespace omni
