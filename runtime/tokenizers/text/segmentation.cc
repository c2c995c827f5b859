#include "text/segmentation.h"

#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <array>
#include <string>

#include "core/free_list.h"
#include "omni/error.h"
#include "omni/text.h"

namespace omni {

namespace {

void check(UErrorCode code, const char* what) {
  if (U_FAILURE(code))
    throw Error(ErrorCode::internal, std::string("ICU cannot ") + what + ": " + u_errorName(code));
}

// Opening one reads its rules.
class Iterator {
 public:
  explicit Iterator(TextUnit unit) : it_(free(unit)) {
    if (!it_->isNull()) return;
    constexpr std::array types = {UBRK_CHARACTER, UBRK_WORD, UBRK_LINE};
    UErrorCode code = U_ZERO_ERROR;
    it_->adoptInstead(ubrk_open(types[size_t(unit)], "", nullptr, 0, &code));
    check(code, "open its rules of segmentation");
  }
  UBreakIterator* get() { return it_->getAlias(); }

 private:
  using Owned = icu::LocalUBreakIteratorPointer;
  static FreeList<Owned>& free(TextUnit unit) {
    static std::array<FreeList<Owned>, 3> of_process;
    return of_process[size_t(unit)];
  }
  Loan<Owned> it_;
};

UChar32 first_of(std::string_view text) {
  UChar32 c = 0;
  if (!text.empty())
    U8_GET_OR_FFFD(reinterpret_cast<const uint8_t*>(text.data()), 0, 0, int32_t(text.size()), c);
  return c;
}

// The last character, taken off the text.
UChar32 take_last(std::string_view& text) {
  auto at = int32_t(text.size());
  UChar32 c = 0;
  U8_PREV_OR_FFFD(reinterpret_cast<const uint8_t*>(text.data()), 0, at, c);
  text.remove_suffix(text.size() - size_t(at));
  return c;
}

UChar32 last_of(std::string_view text) { return text.empty() ? 0 : take_last(text); }

bool is_punctuation(UChar32 c) { return U_GET_GC_MASK(c) & U_GC_P_MASK; }

// A character of a script without spaces, or punctuation that goes with one.
bool is_spaceless(UChar32 c) {
  std::array<UScriptCode, 32> scripts{};
  UErrorCode code = U_ZERO_ERROR;
  const int32_t n = uscript_getScriptExtensions(c, scripts.data(), int32_t(scripts.size()), &code);
  for (int32_t i = 0; U_SUCCESS(code) && i < n; ++i)
    if (uscript_breaksBetweenLetters(scripts[size_t(i)])) return true;
  const int width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
  return is_punctuation(c) && (width == U_EA_WIDE || width == U_EA_FULLWIDTH);
}

// UAX #14 lets a line end within Korean words; Korean is read better without.
bool is_within_spaced_word(std::string_view left, std::string_view right) {
  const UChar32 l = last_of(left), r = first_of(right);
  return u_isalpha(l) && u_isalpha(r) && !is_spaceless(l) && !is_spaceless(r);
}

bool ends_with(std::string_view text, bool (*is_end)(UChar32)) {
  while (!text.empty()) {
    const UChar32 c = take_last(text);
    const bool closes = c == '"' || c == '\'' || u_charType(c) == U_END_PUNCTUATION ||
                        u_charType(c) == U_FINAL_PUNCTUATION;
    if (!closes && !u_isUWhiteSpace(c)) return is_end(c);
  }
  return false;
}

}  // namespace

std::vector<size_t> ends_of(TextUnit unit, std::string_view text) {
  UErrorCode code = U_ZERO_ERROR;
  const icu::LocalUTextPointer bytes(
      utext_openUTF8(nullptr, text.data(), int64_t(text.size()), &code));
  Iterator iterator(unit);
  UBreakIterator* it = iterator.get();
  ubrk_setUText(it, bytes.getAlias(), &code);
  check(code, "read a text");
  std::vector<size_t> out;
  for (int32_t end = ubrk_next(it); end != UBRK_DONE; end = ubrk_next(it)) {
    const auto at = size_t(end);
    if (unit == TextUnit::line && is_within_spaced_word(text.substr(0, at), text.substr(at)))
      continue;
    out.push_back(at);
  }
  return out;
}

bool expects_space(std::string_view left, std::string_view right) {
  if (left.empty() || right.empty()) return false;
  const UChar32 l = last_of(left), r = first_of(right);
  const bool goes_on = U_GET_GC_MASK(r) & U_GC_M_MASK;
  return !goes_on && !u_isUWhiteSpace(l) && !u_isUWhiteSpace(r) && !is_spaceless(l) &&
         !is_spaceless(r);
}

bool ends_sentence(std::string_view text) {
  return ends_with(text,
                   [](UChar32 c) { return u_hasBinaryProperty(c, UCHAR_S_TERM) || c == U'…'; });
}

bool ends_clause(std::string_view text) {
  return ends_with(text, [](UChar32 c) {
    return u_hasBinaryProperty(c, UCHAR_TERMINAL_PUNCTUATION) || c == U'…' || c == U'—' ||
           c == U'–';
  });
}

}  // namespace omni
