// Read-only JSON values whose errors name the file and the path of the value. The only place that
// knows the JSON library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace omni {

class Json {
 public:
  // Throws corrupt_file (not JSON, nested deeper than 64, not UTF-8) with `where` ahead of the
  // reason.
  static Json parse(std::string_view text, const std::string& where);
  static Json parse_file(const std::filesystem::path& path, size_t limit = size_t{64} << 20);
  // An empty object where there is no such file.
  static Json parse_file_if_there(const std::filesystem::path& path);

  bool is_object() const;
  bool is_array() const;
  bool is_string() const;
  size_t size() const;
  bool has(const std::string& key) const;  // and it is not null

  // The member, or corrupt_file naming it.
  Json at(const std::string& key) const;
  Json at(size_t index) const;
  // The member, or an empty object.
  Json find(const std::string& key) const;

  std::string string() const;
  bool boolean() const;
  std::vector<std::string> keys() const;
  std::string dump() const;  // as compact JSON
  // Of values: 1 is 1.0, and members have no order.
  bool operator==(const Json& other) const;

  // A number is asked for with the range that it may lie in, both ends included: outside of it
  // corrupt_file that names file, key, value and range.
  int64_t integer(int64_t low, int64_t high) const;
  double number(double low, double high) const;
  std::vector<int64_t> integers(int64_t low, int64_t high) const;  // a list, each in the range
  int64_t integer(const std::string& key, int64_t low, int64_t high) const;
  double number(const std::string& key, double low, double high) const;
  // `otherwise`, which need not lie in the range, where there is no such member or it is null.
  int64_t integer_or(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const;
  double number_or(const std::string& key, double otherwise, double low, double high) const;
  std::string string_or(const std::string& key, const std::string& otherwise) const;
  bool boolean_or(const std::string& key, bool otherwise) const;

  const std::string& where() const { return where_; }
  // What where() of the member would be: "<file>: <path>".
  std::string member_path(const std::string& key) const;
  // Throws corrupt_file: "<file>: <path> <reason>".
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  struct Document;
  Json(std::shared_ptr<const Document> document, const void* value, std::string where)
      : document_(std::move(document)), value_(value), where_(std::move(where)) {}
  std::shared_ptr<const Document> document_;
  const void* value_;
  std::string where_;
};

// Each element of a list as Python's json.dumps writes it: members in the order of the text, ", "
// and ": " between them. Throws corrupt_file with `where`, also where it is no list.
std::vector<std::string> json_elements(std::string_view text, const std::string& where);

// The text as a JSON string, quoted and escaped; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace omni
