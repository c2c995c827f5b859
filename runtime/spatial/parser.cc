// A scanner that collects the text of one candidate at a time — from the innermost '{' to its '}',
// or from one marker to the next — and reads it leniently when it is complete. Nothing else of the
// answer is kept.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "omni/spatial.h"

namespace omni {

namespace {

constexpr size_t kLongest = 4096;  // bytes of one candidate
constexpr size_t kLongestLabel = 256;

struct Written {
  std::string text;
  // of each byte's token, at the first byte of the token; NaN at the others
  std::vector<float> log_probability;

  void add(char c, float p) {
    text += c;
    log_probability.push_back(p);
  }
  void clear() {
    text.clear();
    log_probability.clear();
  }
  // Geometric mean over the tokens that touch [begin, end).
  double probability(size_t begin, size_t end) const {
    double sum = 0;
    int n = 0;
    size_t from = std::min(begin, text.size());
    // the token that `begin` lies in
    while (from > 0 && std::isnan(log_probability[std::min(from, text.size() - 1)])) --from;
    for (size_t i = from; i < std::min(end, text.size()); ++i)
      if (!std::isnan(log_probability[i])) sum += log_probability[i], ++n;
    return n ? std::exp(sum / n) : 1;
  }
};

// Cuts at a whole UTF-8 character.
std::string bounded(std::string s) {
  if (s.size() > kLongestLabel) {
    size_t n = kLongestLabel;
    while (n > 0 && (static_cast<unsigned char>(s[n]) & 0xC0) == 0x80) --n;
    s.resize(n);
  }
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.erase(0, 1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.pop_back();
  return s;
}

std::optional<double> number(std::string_view text) {
  while (!text.empty() &&
         (std::isspace(static_cast<unsigned char>(text.front())) || text.front() == '+'))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return std::clamp(value, -1e6, 1e6);
}

// Reads `"key": value` members without insisting on more than that; `repaired` tells that strict
// JSON would not have it.
class LenientObject {
 public:
  LenientObject(const Written& w, Coordinates c) : w_(w), coordinates_(c) {}

  std::optional<SpatialObject> read(bool& repaired) {
    size_t at = 0;
    while (at < w_.text.size()) {
      const char c = w_.text[at];
      if (c == '"' || c == '\'') {
        std::string key;
        if (!string(at, key)) return std::nullopt;
        spaces(at);
        if (at < w_.text.size() && w_.text[at] == ':')
          value(key, ++at);
        else
          repaired_ = true;
      } else {
        if (c == ',' && trailing(at)) repaired_ = true;
        ++at;
      }
    }
    if (!object_.box && !object_.point) return std::nullopt;
    repaired = repaired_;
    return std::move(object_);
  }

 private:
  void spaces(size_t& at) const {
    while (at < w_.text.size() && std::isspace(static_cast<unsigned char>(w_.text[at]))) ++at;
  }
  bool trailing(size_t at) const {
    spaces(++at);
    return at < w_.text.size() && (w_.text[at] == '}' || w_.text[at] == ']');
  }
  // At a quote; leaves behind the closing one. False where there is none.
  bool string(size_t& at, std::string& out) {
    const char quote = w_.text[at++];
    repaired_ |= quote == '\'';
    for (; at < w_.text.size(); ++at) {
      char c = w_.text[at];
      if (c == quote) return ++at, true;
      if (c == '\\' && at + 1 < w_.text.size()) {
        c = w_.text[++at];
        if (c == 'n' || c == 't' || c == 'r') c = ' ';
        if (c == 'u') {
          at = std::min(at + 4, w_.text.size() - 1);
          c = '?';
        }
      }
      out += c;
    }
    return false;
  }
  void value(const std::string& key, size_t& at) {
    spaces(at);
    if (at >= w_.text.size()) return;
    const char c = w_.text[at];
    if (c == '"' || c == '\'') {
      const size_t begin = at + 1;
      std::string text;
      if (!string(at, text)) return;
      if (key == "label" || key == "name" || key == "object") {
        object_.label = bounded(std::move(text));
        object_.label_probability = w_.probability(begin, at - 1);
      } else if (is_place(key)) {
        repaired_ = true;
        place(key, text, begin, at - 1);
      }
    } else if (c == '[' || c == '(') {
      const size_t begin = at + 1;
      int depth = 0;
      for (; at < w_.text.size(); ++at) {
        if (w_.text[at] == '[' || w_.text[at] == '(') ++depth;
        if ((w_.text[at] == ']' || w_.text[at] == ')') && --depth == 0) break;
      }
      if (is_place(key)) place(key, std::string_view(w_.text).substr(begin, at - begin), begin, at);
      if (at < w_.text.size()) ++at;
    }
  }
  bool is_place(const std::string& key) const {
    return coordinates_ == Coordinates::thousandths_y_first
               ? key == "box_2d" || key == "point"
               : key == "bbox_2d" || key == "point_2d" || key == "bbox" || key == "point";
  }
  void place(const std::string& key, std::string_view text, size_t begin, size_t end) {
    std::vector<double> values;
    size_t from = 0;
    while (from <= text.size() && values.size() < 5) {
      const size_t comma = std::min(text.find(',', from), text.size());
      std::string part(text.substr(from, comma - from));
      repaired_ |= part.find_first_of("\"'") != std::string::npos;
      std::erase_if(part, [](char c) {
        return c == '[' || c == ']' || c == '(' || c == ')' || c == '"' || c == '\'';
      });
      if (part.find_first_not_of(" \t\n\r") == std::string::npos) {
        repaired_ = true;  // a stray comma
      } else if (const auto v = number(part)) {
        values.push_back(*v);
      } else {
        return;
      }
      from = comma + 1;
    }
    if (values.size() == 4 && key[0] == 'b') {
      if (coordinates_ == Coordinates::thousandths_y_first)
        values = {values[1], values[0], values[3], values[2]};
      if (values[0] > values[2]) std::swap(values[0], values[2]), repaired_ = true;
      if (values[1] > values[3]) std::swap(values[1], values[3]), repaired_ = true;
      object_.box = Box{values[0], values[1], values[2], values[3]};
    } else if (values.size() == 2 && key[0] == 'p') {
      if (coordinates_ == Coordinates::thousandths_y_first) std::swap(values[0], values[1]);
      object_.point = Point{values[0], values[1]};
    } else {
      return;
    }
    object_.place_probability = w_.probability(begin, end);
  }

  const Written& w_;
  Coordinates coordinates_;
  SpatialObject object_;
  bool repaired_ = false;
};

}  // namespace

struct SpatialParser::State {
  explicit State(Coordinates c) : coordinates(c) {}

  Coordinates coordinates;
  Counts counts;
  Written object;  // JSON: from '{' on
  bool in_object = false, in_string = false, escaped = false;
  char quote = '"';
  Written tail;  // markup: since the last object

  void json(char c, float p, std::vector<SpatialObject>& out) {
    if (!in_object) {
      if (c == '{') open(c, p);
      return;
    }
    if (in_string) {
      object.add(c, p);
      if (escaped)
        escaped = false;
      else if (c == '\\')
        escaped = true;
      // no label has a line break: the quote was lost
      else if (c == quote || c == '\n')
        in_string = false;
    } else if (c == '{') {
      open(c, p);  // only the innermost braces hold an object
    } else if (c == '}') {
      object.add(c, p);
      close(out);
    } else {
      object.add(c, p);
      if (c == '"') in_string = true, quote = c;
    }
    if (object.text.size() > kLongest) {
      ++counts.malformed;
      in_object = in_string = false;
      object.clear();
    }
  }
  void open(char c, float p) {
    object.clear();
    object.add(c, p);
    in_object = true;
    in_string = escaped = false;
  }
  void close(std::vector<SpatialObject>& out) {
    bool repaired = false;
    if (auto found = LenientObject(object, coordinates).read(repaired)) {
      ++counts.objects;
      counts.repaired += repaired;
      out.push_back(std::move(*found));
    } else {
      ++counts.malformed;
    }
    in_object = false;
    object.clear();
  }

  void markup(char c, float p, std::vector<SpatialObject>& out) {
    static constexpr std::string_view kEnd = "<|box_end|>";
    tail.add(c, p);
    if (c == '>' && tail.text.ends_with(kEnd)) {
      if (auto found = read_markup()) {
        ++counts.objects;
        out.push_back(std::move(*found));
      } else {
        ++counts.malformed;
      }
      tail.clear();
    } else if (tail.text.size() > kLongest) {
      if (tail.text.find("<|box_start|>") != std::string::npos) ++counts.malformed;
      tail.clear();
    }
  }
  std::optional<SpatialObject> read_markup() {
    static constexpr std::string_view kRef = "<|object_ref_start|>", kRefEnd = "<|object_ref_end|>",
                                      kBox = "<|box_start|>";
    const std::string& t = tail.text;
    const size_t box = t.rfind(kBox);
    if (box == std::string::npos) return std::nullopt;
    SpatialObject o;
    const size_t ref = t.rfind(kRef, box),
                 ref_end = t.find(kRefEnd, ref == std::string::npos ? 0 : ref);
    if (ref != std::string::npos && ref_end != std::string::npos && ref_end < box) {
      o.label = bounded(t.substr(ref + kRef.size(), ref_end - ref - kRef.size()));
      o.label_probability = tail.probability(ref + kRef.size(), ref_end);
    }
    std::vector<double> values;
    const size_t begin = box + kBox.size(), end = t.size() - std::string_view("<|box_end|>").size();
    for (size_t i = begin; i < end && values.size() < 5;) {
      const size_t stop = std::min(t.find_first_of("(), ", i), end);
      if (stop > i) {
        const auto v = number(std::string_view(t).substr(i, stop - i));
        if (!v) return std::nullopt;
        values.push_back(*v);
      }
      i = stop + 1;
    }
    o.place_probability = tail.probability(begin, end);
    if (values.size() == 2) {
      o.point = Point{values[0], values[1]};
      return o;
    }
    if (values.size() != 4) return std::nullopt;
    const bool swapped = values[0] > values[2] || values[1] > values[3];
    counts.repaired += swapped;
    o.box = Box{std::min(values[0], values[2]), std::min(values[1], values[3]),
                std::max(values[0], values[2]), std::max(values[1], values[3])};
    return o;
  }
};

SpatialParser::SpatialParser(Coordinates coordinates)
    : state_(std::make_unique<State>(coordinates)) {}
SpatialParser::~SpatialParser() = default;
SpatialParser::SpatialParser(SpatialParser&&) noexcept = default;

std::vector<SpatialObject> SpatialParser::push(std::string_view bytes, double probability) {
  std::vector<SpatialObject> out;
  float p = float(std::log(std::clamp(probability, 1e-30, 1.0)));
  for (const char c : bytes) {
    state_->coordinates == Coordinates::thousandths_markup ? state_->markup(c, p, out)
                                                           : state_->json(c, p, out);
    p = NAN;
  }
  return out;
}

SpatialParser::Counts SpatialParser::finish() {
  Counts c = state_->counts;
  c.malformed += state_->in_object || state_->tail.text.find("<|box_start|>") != std::string::npos;
  return c;
}

}  // namespace omni
