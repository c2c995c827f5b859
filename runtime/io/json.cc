#include "io/json.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/mapped_file.h"
#include "io/foreign_weights.h"
#include "omni/error.h"

namespace omni {

using Value = nlohmann::json;

struct Json::Document {
  Value root;
};

namespace {

const Value& value_of(const void* v) { return *static_cast<const Value*>(v); }

// Nesting is checked before parsing, so that a hostile file cannot make any later recursion deep.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > 64) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Json Json::parse(std::string_view text, const std::string& where) {
  if (too_deep(text)) throw Error(ErrorCode::corrupt_file, where + ": JSON nested deeper than 64");
  auto document = std::make_shared<Document>();
  try {
    document->root = Value::parse(text);
  } catch (const Value::exception& e) {
    throw Error(ErrorCode::corrupt_file, where + ": not JSON: " + e.what());
  }
  const void* root = &document->root;
  return {std::move(document), root, where};
}

Json Json::parse_file(const std::filesystem::path& path, size_t limit) {
  const std::string text = read_text_file(path, limit);
  refuse_lfs_pointer(path, text);
  return parse(text, path.string());
}

Json Json::parse_file_if_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? parse_file(path) : parse("{}", path.string());
}

void Json::fail(const std::string& reason) const {
  throw Error(ErrorCode::corrupt_file, where_ + " " + reason);
}

bool Json::is_object() const { return value_of(value_).is_object(); }
bool Json::is_array() const { return value_of(value_).is_array(); }
bool Json::is_string() const { return value_of(value_).is_string(); }
size_t Json::size() const { return value_of(value_).size(); }

bool Json::has(const std::string& key) const {
  const Value& v = value_of(value_);
  return v.is_object() && v.contains(key) && !v[key].is_null();
}

Json Json::at(const std::string& key) const {
  if (!has(key)) fail("has no \"" + key + "\"");
  return {document_, &value_of(value_)[key], member_path(key)};
}

std::string Json::member_path(const std::string& key) const {
  return where_ + (where_.ends_with(".json") ? ": " : ".") + key;
}

Json Json::at(size_t index) const {
  if (!is_array() || index >= size()) fail("has no element " + std::to_string(index));
  return {document_, &value_of(value_)[index], where_ + "[" + std::to_string(index) + "]"};
}

Json Json::find(const std::string& key) const {
  return has(key) ? at(key) : parse("{}", member_path(key));
}

std::string Json::string() const {
  if (!is_string()) fail("is not a string");
  return value_of(value_).get<std::string>();
}

bool Json::boolean() const {
  if (!value_of(value_).is_boolean()) fail("is neither true nor false");
  return value_of(value_).get<bool>();
}

int64_t Json::integer(int64_t low, int64_t high) const {
  const Value& v = value_of(value_);
  if (!v.is_number_integer()) fail("is not an integer");
  const bool too_large = v.is_number_unsigned() && v.get<uint64_t>() > uint64_t(INT64_MAX);
  if (too_large || v.get<int64_t>() < low || v.get<int64_t>() > high)
    fail("is " + v.dump() + ", not in " + std::to_string(low) + " … " + std::to_string(high));
  return v.get<int64_t>();
}

double Json::number(double low, double high) const {
  const Value& v = value_of(value_);
  if (!v.is_number()) fail("is not a number");
  const double x = v.get<double>();
  if (!(x >= low && x <= high))
    fail("is " + v.dump() + ", not in " + Value(low).dump() + " … " + Value(high).dump());
  return x;
}

std::vector<int64_t> Json::integers(int64_t low, int64_t high) const {
  if (!is_array()) fail("is not a list");
  std::vector<int64_t> out;
  for (size_t i = 0; i < size(); ++i) out.push_back(at(i).integer(low, high));
  return out;
}

std::vector<std::string> Json::keys() const {
  std::vector<std::string> out;
  if (is_object())
    for (const auto& item : value_of(value_).items()) out.push_back(item.key());
  return out;
}

int64_t Json::integer(const std::string& key, int64_t low, int64_t high) const {
  return at(key).integer(low, high);
}
double Json::number(const std::string& key, double low, double high) const {
  return at(key).number(low, high);
}
int64_t Json::integer_or(const std::string& key, int64_t otherwise, int64_t low,
                         int64_t high) const {
  return has(key) ? integer(key, low, high) : otherwise;
}
double Json::number_or(const std::string& key, double otherwise, double low, double high) const {
  return has(key) ? number(key, low, high) : otherwise;
}
std::string Json::string_or(const std::string& key, const std::string& otherwise) const {
  return has(key) ? at(key).string() : otherwise;
}
bool Json::boolean_or(const std::string& key, bool otherwise) const {
  return has(key) ? at(key).boolean() : otherwise;
}

std::string Json::dump() const {
  return value_of(value_).dump(-1, ' ', false, Value::error_handler_t::replace);
}

bool Json::operator==(const Json& other) const {
  return value_of(value_) == value_of(other.value_);
}

namespace {

using Ordered = nlohmann::ordered_json;

void write_spaced(const Ordered& value, std::string& out) {
  const bool is_object = value.is_object();
  if (!is_object && !value.is_array()) {
    out += value.dump(-1, ' ', false, Ordered::error_handler_t::replace);
    return;
  }
  out += is_object ? '{' : '[';
  bool is_first = true;
  for (const auto& item : value.items()) {
    if (!std::exchange(is_first, false)) out += ", ";
    if (is_object) out += json_string(item.key()) + ": ";
    write_spaced(item.value(), out);
  }
  out += is_object ? '}' : ']';
}

}  // namespace

std::vector<std::string> json_elements(std::string_view text, const std::string& where) {
  const Json checked = Json::parse(text, where);
  if (!checked.is_array()) checked.fail("is no list");
  std::vector<std::string> out;
  for (const Ordered& element : Ordered::parse(text)) write_spaced(element, out.emplace_back());
  return out;
}

std::string json_string(std::string_view text) {
  return Value(std::string(text)).dump(-1, ' ', false, Value::error_handler_t::replace);
}

}  // namespace omni
