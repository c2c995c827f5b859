#include "io/tensor_pickle.h"

#include <algorithm>
#include <cstring>

#include "core/mapped_file.h"
#include "io/foreign_weights.h"

namespace omni {

namespace {

constexpr size_t kMostObjects = 100'000;  // made and copied, all together
constexpr size_t kTextOfAnObject = 256;   // bytes of text that count as one of them
constexpr int kMostDepth = 64;

class Archive {
 public:
  explicit Archive(const std::filesystem::path& path) : path_(path), file_(path) {
    refuse_lfs_pointer(path, {reinterpret_cast<const char*>(file_.data()), file_.size()});
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
  size_t size() const { return file_.size(); }
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::corrupt_file, path_.string() + " " + reason);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::unsupported, path_.string() + " asks for " + what +
                                            ", which is not read here (nothing in it is executed)");
  }

 private:
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

// The pickle machine. (Python's pickletools) Nothing is shared: what is fetched from the memo is a
// copy, and copies count, so that a short pickle cannot ask for much memory or time.
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
          push({Object::dictionary});
          break;
        case ')':
          push({Object::tuple});
          break;
        case 'N':
          push({Object::none});
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
          put(byte());
          break;  // BINPUT
        case 'r':
          put(size_t(little(4)));
          break;  // LONG_BINPUT
        case 0x94:
          put(memo_.size());
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
          push(global(module.text + "." + name.text));
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
          return value_of(pop());  // STOP
        default:
          archive_.refuse("pickle operation " + std::to_string(op));
      }
    }
  }

 private:
  struct Object {
    enum Kind { none, integer, string, tensor, dictionary, tuple, global, storage } kind;
    int64_t number = 0;  // of a storage: its elements
    std::string text;    // of a global its name, of a storage its key
    DType dtype{};       // of a storage
    Tensor values;
    std::map<std::string, Object> members;
    std::vector<Object> parts;  // of a tuple
    size_t n_objects = 1;       // with those in it
    int depth = 1;
  };

  static Object integer(int64_t v) { return {Object::integer, v}; }
  static Object string(std::string_view v) {
    return {.kind = Object::string,
            .text = std::string(v),
            .n_objects = 1 + v.size() / kTextOfAnObject};
  }
  Object global(const std::string& name) const {
    for (const char* known :
         {"torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "torch.HalfStorage",
          "torch.BFloat16Storage", "collections.OrderedDict"})
      if (name == known) return {.kind = Object::global, .text = name};
    archive_.refuse(name);
  }
  static PickledValue value_of(Object o) {
    constexpr PickledValue::Kind kKinds[] = {
        PickledValue::none,       PickledValue::integer, PickledValue::string, PickledValue::tensor,
        PickledValue::dictionary, PickledValue::tuple,   PickledValue::none,   PickledValue::none};
    PickledValue v{kKinds[o.kind], o.number, std::move(o.text), std::move(o.values), {}};
    for (auto& [name, member] : o.members) v.members[name] = value_of(std::move(member));
    return v;
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

  void count(size_t n) {
    n_objects_ += n;
    if (n_objects_ > kMostObjects) archive_.fail("is too large a pickle");
  }
  void push(Object o) {
    count(1 + o.text.size() / kTextOfAnObject);
    if (o.depth > kMostDepth)
      archive_.fail("has a pickle nested deeper than " + std::to_string(kMostDepth));
    stack_.push_back(std::move(o));
  }
  void put(size_t index) {
    count(top().n_objects);
    memo_[index] = top();
  }
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
    count(there->second.n_objects);
    stack_.push_back(there->second);
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
    Object o{.kind = Object::tuple, .parts = std::move(parts)};
    for (const Object& p : o.parts) hold(o, p);
    push(std::move(o));
  }
  static void hold(Object& outer, const Object& inner) {
    outer.n_objects += inner.n_objects;
    outer.depth = std::max(outer.depth, inner.depth + 1);
  }
  void set(std::vector<Object> pairs) {
    Object& to = top();
    if (pairs.size() % 2 || to.kind != Object::dictionary)
      archive_.refuse("items of something that is no dictionary");
    for (size_t i = 0; i < pairs.size(); i += 2) {
      if (pairs[i].kind != Object::string) archive_.refuse("a key that is no text");
      hold(to, pairs[i + 1]);
      to.members[pairs[i].text] = std::move(pairs[i + 1]);
    }
    if (to.depth > kMostDepth)
      archive_.fail("has a pickle nested deeper than " + std::to_string(kMostDepth));
  }
  // ('storage', type, key, location, number of elements)
  void storage() {
    const Object o = pop();
    if (o.parts.size() != 5 || o.parts[0].text != "storage" || o.parts[4].kind != Object::integer)
      archive_.refuse("a persistent object that is no storage");
    const std::string& type = o.parts[1].text;
    const DType dtype = type == "torch.FloatStorage"  ? DType::f32
                        : type == "torch.HalfStorage" ? DType::f16
                                                      : DType::bf16;
    if (dtype == DType::bf16 && type != "torch.BFloat16Storage")
      archive_.refuse("a storage of type " + type);
    push({.kind = Object::storage,
          .number = o.parts[4].number,
          .text = o.parts[2].text,
          .dtype = dtype});
  }
  void reduce() {
    const Object arguments = pop(), callable = pop();
    const std::string name = callable.kind == Object::global ? callable.text : std::string();
    if (name == "collections.OrderedDict" && arguments.parts.empty())
      return push({Object::dictionary});
    if (name != "torch._utils._rebuild_tensor_v2" || arguments.parts.size() < 4 ||
        arguments.parts[0].kind != Object::storage)
      archive_.refuse("a call of " + (name.empty() ? "something" : name));
    push({.kind = Object::tensor,
          .values = tensor(arguments.parts[0], arguments.parts[1].number, arguments.parts[2].parts,
                           arguments.parts[3].parts)});
  }
  Tensor tensor(const Object& s, int64_t offset, const std::vector<Object>& sizes,
                const std::vector<Object>& strides) {
    const std::string_view bytes = archive_.entry("data/" + s.text);
    const auto stored = int64_t(bytes.size() / size_of(s.dtype));
    if (sizes.size() > size_t(Shape::kMaxRank) || sizes.size() != strides.size() || offset < 0 ||
        s.number < 0 || s.number > stored)
      archive_.fail("has an impossible tensor");
    int64_t dims[Shape::kMaxRank], n = 1;
    for (size_t d = 0; d < sizes.size(); ++d) {
      dims[d] = sizes[d].number;
      if (dims[d] < 0 || dims[d] > stored) archive_.fail("has an impossible tensor");
      n *= dims[d];
      if (n > stored) archive_.fail("has a tensor larger than its storage");
    }
    int64_t dense = 1;
    for (size_t d = sizes.size(); d-- > 0;) {
      if (dims[d] > 1 && strides[d].number != dense)
        archive_.refuse("a tensor that is not contiguous");
      dense *= std::max<int64_t>(dims[d], 1);
    }
    if (offset > s.number - n) archive_.fail("has a tensor outside its storage");
    // each storage is there once or shared by a few
    tensor_bytes_ += size_t(n) * size_of(s.dtype);
    if (tensor_bytes_ > 2 * archive_.size())
      archive_.fail("has more in its tensors than it stores");
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
  size_t n_objects_ = 0, tensor_bytes_ = 0;
};

}  // namespace

PickledValue read_tensor_pickle(const std::filesystem::path& path) {
  const Archive archive(path);
  return Machine(archive).run();
}

}  // namespace omni
