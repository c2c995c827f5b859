#include "captions/line_breaks.h"

#include <limits>

#include "captions/caption_text.h"
#include "omni/captions.h"

namespace omni {

namespace {

constexpr double kBehindClause = -0.06, kBehindShortWord = 0.08;  // beside the square of (length − mean) / columns

// Words that are longer than a line, in pieces.
std::vector<std::string> cut_long(const std::vector<std::string>& words, int columns) {
  std::vector<std::string> out;
  for (const std::string& w : words) {
    if (columns_of(w) <= columns) {
      out.push_back(w);
      continue;
    }
    std::string piece;
    for (const int32_t c : code_points(w)) {
      const std::string next = piece + to_utf8({c});
      if (!piece.empty() && columns_of(next) > columns) {
        out.push_back(piece);
        piece = to_utf8({c});
      } else {
        piece = next;
      }
    }
    if (!piece.empty()) out.push_back(piece);
  }
  return out;
}

int fill(const std::vector<std::string>& words, int columns) {
  int lines = 0;
  std::string line;
  for (const std::string& w : words) {
    const std::string longer = join(line, w);
    if (lines > 0 && columns_of(longer) <= columns) line = longer;
    else line = w, ++lines;
  }
  return lines;
}

}  // namespace

int n_lines(const std::vector<std::string>& words, int columns) { return fill(cut_long(words, columns), columns); }

std::vector<std::string> break_words(const std::vector<std::string>& given, int columns) {
  const std::vector<std::string> words = cut_long(given, columns);
  const int lines = fill(words, columns);
  const size_t n = words.size();
  if (n == 0) return {};
  std::string whole;
  for (const std::string& w : words) whole = join(whole, w);
  const double mean = double(columns_of(whole)) / lines;
  // best[l][i]: the least cost of the first i words in l lines, and where its last line begins.
  struct Best {
    double cost = std::numeric_limits<double>::infinity();
    size_t from = 0;
  };
  std::vector<std::vector<Best>> best(size_t(lines) + 1, std::vector<Best>(n + 1));
  best[0][0].cost = 0;
  for (size_t l = 1; l <= size_t(lines); ++l)
    for (size_t from = 0; from < n; ++from) {
      if (best[l - 1][from].cost == std::numeric_limits<double>::infinity()) continue;
      std::string line;
      for (size_t to = from + 1; to <= n; ++to) {
        line = join(line, words[to - 1]);
        const int length = columns_of(line);
        if (length > columns) break;
        double cost = best[l - 1][from].cost + (length - mean) * (length - mean) / (double(columns) * columns);
        if (to < n) cost += ends_clause(words[to - 1]) ? kBehindClause : columns_of(words[to - 1]) <= 3 ? kBehindShortWord : 0;
        if (cost < best[l][to].cost) best[l][to] = {cost, from};
      }
    }
  std::vector<std::string> out(static_cast<size_t>(lines));
  for (size_t l = size_t(lines), to = n; l > 0; --l) {
    const size_t from = best[l][to].from;
    for (size_t i = from; i < to; ++i) out[l - 1] = join(out[l - 1], words[i]);
    to = from;
  }
  return out;
}

std::vector<std::string> break_lines(const std::string& text, int columns) {
  if (columns < 1) throw Error(ErrorCode::invalid_argument, "lines of " + std::to_string(columns) + " columns");
  return break_words(words_of(text), columns);
}

}  // namespace omni
