#include "io/tensor_pickle.h"

#include <cstring>
#include <optional>

#include "core/mapped_file.h"

namespace omni {

namespace {

constexpr size_t kMostObjects = 100'000;

class Archive {
 public:
  explicit Archive(const std::filesystem::path& path) : path_(path), file_(path) {
    // The end record, from behind; no comment of more than 64 KiB.
    const size_t n = size();
    constexpr size_t kEnd = 22;
    if (n < kEnd) fail("is no zip archive");
    size_t at = n - kEnd;
    while (u32(at) != 0x06054b50) {
      if (at == 0 || n - at > kEnd + 65535) fail("is no zip archive");
      --at;
    }
    const size_t entries = u16(at + 10);
    size_t entry = u32(at + 16);
    for (size_t i = 0; i < entries; ++i) {
      if (u32(entry) != 0x02014b50) fail("has a broken directory");
      const size_t bytes = u32(entry + 20), name_length = u16(entry + 28), header = u32(entry + 42);
      const std::string name(view(entry + 46, name_length));
      if (u16(entry + 10) != 0) fail("has a compressed entry " + name);
      if (u32(header) != 0x04034b50) fail("has a broken entry " + name);
      const size_t data = header + 30 + u16(header + 26) + u16(header + 28);
      view(data, bytes);
      // names begin with the archive's own
      entries_[name.substr(name.find('/') + 1)] = {data, bytes};
      entry += 46 + name_length + u16(entry + 30) + u16(entry + 32);
    }
  }

  std::string_view entry(const std::string& name) const {
    const auto there = entries_.find(name);
    if (there == entries_.end()) fail("has no entry " + name);
    return view(there->second.first, there->second.second);
  }
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::corrupt_file, path_.string() + " " + reason);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::unsupported, path_.string() + " asks for " + what +
                                            ", which is not read here (nothing in it is executed)");
  }

 private:
  size_t size() const { return file_.size(); }
  std::string_view view(size_t at, size_t n) const {
    if (at > size() || n > size() - at) fail("ends too early");
    return {reinterpret_cast<const char*>(file_.data()) + at, n};
  }
  uint32_t u32(size_t at) const {
    uint32_t v;
    std::memcpy(&v, view(at, 4).data(), 4);
    return v;
  }
  uint16_t u16(size_t at) const {
    uint16_t v;
    std::memcpy(&v, view(at, 2).data(), 2);
    return v;
  }

  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, std::pair<size_t, size_t>> entries_;
};

// The pickle machine. (Python's pickletools)
class Machine {
 public:
  explicit Machine(const Archive& archive) : archive_(archive), code_(archive.entry("data.pkl")) {}

  PickledValue run() {
    for (;;) {
      const uint8_t op = byte();
      switch (op) {
        case 0x80:
          byte();
          break;  // PROTO
        case 0x95:
          take(8);
          break;  // FRAME
        case '(':
          marks_.push_back(stack_.size());
          break;  // MARK
        case '}':
          push(empty(PickledValue::dictionary));
          break;
        case ')':
          push(empty(PickledValue::tuple));
          break;
        case 'N':
          push(empty(PickledValue::none));
          break;
        case 0x88:
        case 0x89:
          push(integer(op == 0x88));
          break;  // NEWTRUE, NEWFALSE
        case 'K':
          push(integer(byte()));
          break;  // BININT1
        case 'M':
          push(integer(little(2)));
          break;  // BININT2
        case 'J':
          push(integer(int32_t(little(4))));
          break;      // BININT
        case 0x8a: {  // LONG1
          const size_t n = byte();
          if (n > 8) archive_.refuse("an integer of more than 64 bits");
          uint64_t v = uint64_t(little(n));
          if (n && n < 8 && (v >> (8 * n - 1) & 1)) v |= ~uint64_t{0} << (8 * n);
          push(integer(int64_t(v)));
          break;
        }
        case 'X':
          push(string(take(size_t(little(4)))));
          break;  // BINUNICODE
        case 0x8c:
          push(string(take(byte())));
          break;  // SHORT_BINUNICODE
        case 'q':
          memo_[byte()] = top();
          break;  // BINPUT
        case 'r':
          memo_[size_t(little(4))] = top();
          break;  // LONG_BINPUT
        case 0x94:
          memo_[memo_.size()] = top();
          break;  // MEMOIZE
        case 'h':
          get(byte());
          break;  // BINGET
        case 'j':
          get(size_t(little(4)));
          break;     // LONG_BINGET
        case 'c': {  // GLOBAL
          const std::string module = line();
          push(global(module + "." + line()));
          break;
        }
        case 0x93: {  // STACK_GLOBAL
          const Object name = pop(), module = pop();
          push(global(module.value.text + "." + name.value.text));
          break;
        }
        case 't':
          tuple(above_mark());
          break;  // TUPLE
        case 0x85:
          tuple(popped(1));
          break;
        case 0x86:
          tuple(popped(2));
          break;
        case 0x87:
          tuple(popped(3));
          break;
        case 'Q':
          storage();
          break;  // BINPERSID
        case 'R':
          reduce();
          break;  // REDUCE
        case 's':
          set(popped(2));
          break;  // SETITEM
        case 'u':
          set(above_mark());
          break;  // SETITEMS
        case '.':
          return pop().value;  // STOP
        default:
          archive_.refuse("pickle operation " + std::to_string(op));
      }
      if (stack_.size() + memo_.size() > kMostObjects) archive_.fail("is too large a pickle");
    }
  }

 private:
  struct Storage {
    std::string key;
    DType dtype;
    int64_t n;
  };
  struct Object {
    PickledValue value;
    std::string global;              // a name instead of a value
    std::optional<Storage> storage;  // raw elements instead of a value
    std::vector<Object> parts;       // of a tuple
  };

  static Object empty(PickledValue::Kind kind) { return {{kind, 0, {}, {}, {}, {}}, {}, {}, {}}; }
  static Object integer(int64_t v) {
    return {{PickledValue::integer, v, {}, {}, {}, {}}, {}, {}, {}};
  }
  static Object string(std::string_view v) {
    return {{PickledValue::string, 0, std::string(v), {}, {}, {}}, {}, {}, {}};
  }
  Object global(const std::string& name) const {
    for (const char* known :
         {"torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "torch.HalfStorage",
          "torch.BFloat16Storage", "collections.OrderedDict"})
      if (name == known) return {{}, name, {}, {}};
    archive_.refuse(name);
  }

  std::string_view take(size_t n) {
    if (n > code_.size() - at_) archive_.fail("has a pickle that ends too early");
    at_ += n;
    return code_.substr(at_ - n, n);
  }
  uint8_t byte() { return uint8_t(take(1)[0]); }
  int64_t little(size_t n) {
    uint64_t v = 0;
    std::memcpy(&v, take(n).data(), n);
    return int64_t(v);
  }
  std::string line() {
    const size_t end = code_.find('\n', at_);
    if (end == std::string_view::npos) archive_.fail("has a pickle that ends too early");
    const std::string s(code_.substr(at_, end - at_));
    at_ = end + 1;
    return s;
  }

  void push(Object o) { stack_.push_back(std::move(o)); }
  Object& top() {
    if (stack_.empty()) archive_.fail("has a pickle that takes what is not there");
    return stack_.back();
  }
  Object pop() {
    Object o = std::move(top());
    stack_.pop_back();
    if (!marks_.empty() && stack_.size() < marks_.back())
      archive_.fail("has a pickle that takes what is not there");
    return o;
  }
  void get(size_t index) {
    const auto there = memo_.find(index);
    if (there == memo_.end()) archive_.fail("has a pickle that takes what is not there");
    push(there->second);
  }
  std::vector<Object> popped(size_t n) {
    std::vector<Object> out(n);
    for (size_t i = n; i-- > 0;) out[i] = pop();
    return out;
  }
  std::vector<Object> above_mark() {
    if (marks_.empty() || marks_.back() > stack_.size())
      archive_.fail("has a pickle without a mark");
    const size_t n = stack_.size() - marks_.back();
    std::vector<Object> out = popped(n);
    marks_.pop_back();
    return out;
  }
  void tuple(std::vector<Object> parts) {
    Object o{{PickledValue::tuple, {}, {}, {}, {}, {}}, {}, {}, std::move(parts)};
    for (const Object& p : o.parts) o.value.items.push_back(p.value);
    push(std::move(o));
  }
  void set(std::vector<Object> pairs) {
    if (pairs.size() % 2 || top().value.kind != PickledValue::dictionary)
      archive_.refuse("items of something that is no dictionary");
    for (size_t i = 0; i < pairs.size(); i += 2) {
      if (pairs[i].value.kind != PickledValue::string) archive_.refuse("a key that is no text");
      top().value.members[pairs[i].value.text] = std::move(pairs[i + 1].value);
    }
  }
  // ('storage', type, key, location, number of elements)
  void storage() {
    const Object o = pop();
    if (o.parts.size() != 5 || o.parts[0].value.text != "storage" ||
        o.parts[4].value.kind != PickledValue::integer)
      archive_.refuse("a persistent object that is no storage");
    const std::string& type = o.parts[1].global;
    const DType dtype = type == "torch.FloatStorage"  ? DType::f32
                        : type == "torch.HalfStorage" ? DType::f16
                                                      : DType::bf16;
    if (dtype == DType::bf16 && type != "torch.BFloat16Storage")
      archive_.refuse("a storage of type " + type);
    push(Object{{}, {}, Storage{o.parts[2].value.text, dtype, o.parts[4].value.number}, {}});
  }
  void reduce() {
    const Object arguments = pop(), callable = pop();
    if (callable.global == "collections.OrderedDict" && arguments.parts.empty())
      return push(empty(PickledValue::dictionary));
    if (callable.global != "torch._utils._rebuild_tensor_v2" || arguments.parts.size() < 4 ||
        !arguments.parts[0].storage)
      archive_.refuse("a call of " + (callable.global.empty() ? "something" : callable.global));
    Object o = empty(PickledValue::tensor);
    o.value.values = tensor(*arguments.parts[0].storage, arguments.parts[1].value.number,
                            arguments.parts[2].parts, arguments.parts[3].parts);
    push(std::move(o));
  }
  Tensor tensor(const Storage& s, int64_t offset, const std::vector<Object>& sizes,
                const std::vector<Object>& strides) const {
    const std::string_view bytes = archive_.entry("data/" + s.key);
    const auto stored = int64_t(bytes.size() / size_of(s.dtype));
    if (sizes.size() > size_t(Shape::kMaxRank) || sizes.size() != strides.size() || offset < 0 ||
        s.n < 0 || s.n > stored)
      archive_.fail("has an impossible tensor");
    int64_t dims[Shape::kMaxRank], n = 1;
    for (size_t d = 0; d < sizes.size(); ++d) {
      dims[d] = sizes[d].value.number;
      if (dims[d] < 0 || dims[d] > stored) archive_.fail("has an impossible tensor");
      n *= dims[d];
      if (n > stored) archive_.fail("has a tensor larger than its storage");
    }
    int64_t dense = 1;
    for (size_t d = sizes.size(); d-- > 0;) {
      if (dims[d] > 1 && strides[d].value.number != dense)
        archive_.refuse("a tensor that is not contiguous");
      dense *= std::max<int64_t>(dims[d], 1);
    }
    if (offset > s.n - n) archive_.fail("has a tensor outside its storage");
    Tensor copy = Tensor::zeros(s.dtype, Shape(dims, int(sizes.size())));
    std::memcpy(copy.raw(), bytes.data() + size_t(offset) * size_of(s.dtype), copy.nbytes());
    return to_f32(copy);
  }

  const Archive& archive_;
  std::string_view code_;
  size_t at_ = 0;
  std::vector<Object> stack_;
  std::vector<size_t> marks_;
  std::map<size_t, Object> memo_;
};

}  // namespace

PickledValue read_tensor_pickle(const std::filesystem::path& path) {
  const Archive archive(path);
  return Machine(archive).run();
}

}  // namespace omni
