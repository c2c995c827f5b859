#include "captions/line_breaks.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "captions/caption_text.h"
#include "omni/captions.h"
#include "text/segmentation.h"

namespace omni {

namespace {

// Beside the square of (length − mean) / columns.
constexpr double kBehindClause = -0.06, kBehindShortWord = 0.08, kWithinWord = 0.08;
constexpr int kMostEven = 15;  // more lines than a caption can have need not be of even length

// A text as a row of pieces of which lines are made.
class Pieces {
 public:
  Pieces(const std::string& text, int columns) : columns_(columns) {
    const std::vector<size_t> words = ends_of(TextUnit::word, text);
    size_t at = 0;
    for (std::string& p : line_pieces(text, columns)) {
      at += p.size();
      const std::string_view shown = std::string_view(p).substr(0, p.find_last_not_of(' ') + 1);
      const int length = columns_of(shown);
      double cost = 0;
      if (ends_clause(shown))
        cost = kBehindClause;
      else if (shown.size() < p.size() && length <= 3)
        cost = kBehindShortWord;
      else if (!std::binary_search(words.begin(), words.end(), at))
        cost = kWithinWord;
      begins_.push_back(begins_.back() + columns_of(p));
      ends_.push_back(begins_[begins_.size() - 2] + length);
      costs_.push_back(cost);
      texts_.push_back(std::move(p));
    }
  }

  size_t size() const { return texts_.size(); }
  double cost_behind(size_t piece) const { return costs_[piece]; }
  // The columns of pieces [from, to) in one line.
  int length(size_t from, size_t to) const { return ends_[to - 1] - begins_[from]; }
  std::string line(size_t from, size_t to) const {
    std::string out;
    for (size_t i = from; i < to; ++i) out += texts_[i];
    return std::string(without_spaces_around(out));
  }

  // Lines that are as full as can be: the piece behind each.
  std::vector<size_t> fill() const {
    std::vector<size_t> lines;
    size_t from = 0;
    for (size_t to = 1; to <= size(); ++to) {
      if (to < size() && length(from, to + 1) <= columns_) continue;
      lines.push_back(to);
      from = to;
    }
    return lines;
  }

  // As many lines, of even length.
  std::vector<size_t> even(size_t lines) const {
    const size_t n = size();
    const double mean = double(length(0, n)) / double(lines);
    // best[l][i]: the least cost of the first i pieces in l lines, and where its last line begins.
    struct Best {
      double cost = std::numeric_limits<double>::infinity();
      size_t from = 0;
    };
    std::vector<std::vector<Best>> best(lines + 1, std::vector<Best>(n + 1));
    best[0][0].cost = 0;
    for (size_t l = 1; l <= lines; ++l)
      for (size_t from = 0; from < n; ++from)
        for (size_t to = from + 1; to <= n && (to == from + 1 || length(from, to) <= columns_);
             ++to) {
          const double off = (length(from, to) - mean) / columns_;
          const double cost =
              best[l - 1][from].cost + off * off + (to < n ? cost_behind(to - 1) : 0);
          if (cost < best[l][to].cost) best[l][to] = {cost, from};
        }
    std::vector<size_t> out(lines);
    for (size_t l = lines, to = n; l > 0; to = best[l][to].from, --l) out[l - 1] = to;
    return out;
  }

 private:
  const int columns_;
  std::vector<std::string> texts_;
  // columns in a line of them all; an end is ahead of the piece's spaces
  std::vector<int> begins_{0}, ends_;
  std::vector<double> costs_;  // of a line that ends behind a piece
};

std::string one_line(const std::string& text) {
  return std::string(without_spaces_around(single_spaced(text)));
}

}  // namespace

std::vector<std::string> line_pieces(const std::string& text, int columns) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (const size_t end : ends_of(TextUnit::line, text)) {
    std::string rest = text.substr(begin, end - begin);
    begin = end;
    if (columns_of(without_spaces_around(rest)) > columns) {
      std::string piece;
      size_t from = 0;
      for (const size_t to : ends_of(TextUnit::grapheme, rest)) {
        const std::string character = rest.substr(from, to - from);
        from = to;
        if (!piece.empty() && character != " " && columns_of(piece + character) > columns)
          out.push_back(std::exchange(piece, ""));
        piece += character;
      }
      rest = piece;
    }
    out.push_back(std::move(rest));
  }
  return out;
}

int n_lines(const std::string& text, int columns) {
  return int(Pieces(one_line(text), columns).fill().size());
}

std::vector<std::string> break_lines(const std::string& text, int columns) {
  if (columns < 1)
    throw Error(ErrorCode::invalid_argument, "lines of " + std::to_string(columns) + " columns");
  const Pieces pieces(one_line(text), columns);
  std::vector<size_t> ends = pieces.fill();
  if (!ends.empty() && ends.size() <= kMostEven) ends = pieces.even(ends.size());
  std::vector<std::string> out;
  size_t from = 0;
  for (const size_t to : ends) {
    out.push_back(pieces.line(from, to));
    from = to;
  }
  return out;
}

}  // namespace omni
