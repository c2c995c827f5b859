#include "ops/cuda/cudnn.h"

#include <dlfcn.h>

#include <array>
#include <utility>
#include <vector>

#include "ops/cuda/cudnn_names.h"

namespace omni::ops::cuda {

using namespace cudnn;

namespace {

constexpr size_t kOldest = 90800;
enum TensorId : int64_t { kX = 1, kWeight, kBias, kY, kSum };

void require(const Cudnn& cudnn, int status, const char* what,
             ErrorCode code = ErrorCode::unsupported) {
  if (!status) return;
  char message[512] = "";
  cudnn.last_error(message, sizeof message);
  throw Error(code, std::string("cuDNN: ") + what + ": status " + std::to_string(status) +
                        (*message ? ", " : "") + message);
}

// A descriptor that is destroyed with it.
class Made {
 public:
  Made(const Cudnn& cudnn, DescriptorType type) : cudnn_(cudnn) {
    require(cudnn, cudnn.create_descriptor(type, &d_), "cudnnBackendCreateDescriptor");
  }
  Made(Made&& o) noexcept : cudnn_(o.cudnn_), d_(std::exchange(o.d_, nullptr)) {}
  ~Made() {
    if (d_) cudnn_.destroy_descriptor(d_);
  }
  template <class T>
  Made& set(AttributeName name, AttributeType type, const T& value) {
    return set(name, type, &value, 1);
  }
  template <class T>
  Made& set(AttributeName name, AttributeType type, const T* values, size_t n) {
    require(cudnn_, cudnn_.set_attribute(d_, name, type, int64_t(n), values),
            "cudnnBackendSetAttribute");
    return *this;
  }
  Made& set(AttributeName name, const Made& other) {
    return set(name, TYPE_BACKEND_DESCRIPTOR, other.d_);
  }
  Made& finalize(const char* what) {
    require(cudnn_, cudnn_.finalize(d_), what);
    return *this;
  }
  Cudnn::Descriptor get() const { return d_; }
  Cudnn::Descriptor release() { return std::exchange(d_, nullptr); }

 private:
  const Cudnn& cudnn_;
  Cudnn::Descriptor d_ = nullptr;
};

// [1, channels, 1, n] with channels side by side, as rows of channels are.
Made tensor(const Cudnn& cudnn, int64_t id, std::array<int64_t, 4> dims, bool is_virtual = false) {
  Made t(cudnn, BACKEND_TENSOR_DESCRIPTOR);
  const std::array<int64_t, 4> strides{dims[1] * dims[3], 1, dims[1] * dims[3], dims[1]};
  t.set(ATTR_TENSOR_DATA_TYPE, TYPE_DATA_TYPE, int{DATA_FLOAT})
      .set(ATTR_TENSOR_DIMENSIONS, TYPE_INT64, dims.data(), 4)
      .set(ATTR_TENSOR_STRIDES, TYPE_INT64, strides.data(), 4);
  t.set(ATTR_TENSOR_UNIQUE_ID, TYPE_INT64, id)
      .set(ATTR_TENSOR_BYTE_ALIGNMENT, TYPE_INT64, int64_t{4 * sizeof(float)})
      .set(ATTR_TENSOR_IS_VIRTUAL, TYPE_BOOLEAN, is_virtual);
  t.finalize("a tensor");
  return t;
}

// y = convolution(x, weight) + bias
Made convolution_graph(const Cudnn& cudnn, const ConvolutionShape& s, Cudnn::Handle handle) {
  const Made x = tensor(cudnn, kX, {1, s.c_in, 1, s.n}),
             weight = tensor(cudnn, kWeight, {s.c_out, s.c_in, 1, s.kernel}),
             bias = tensor(cudnn, kBias, {1, s.c_out, 1, 1});
  const Made sum = tensor(cudnn, kSum, {1, s.c_out, 1, s.n_out}, true),
             y = tensor(cudnn, kY, {1, s.c_out, 1, s.n_out});
  const int64_t reach = int64_t{s.kernel - 1} * s.dilation;
  const int64_t dilations[] = {1, s.dilation}, strides[] = {1, s.stride}, before[] = {0, s.before},
                behind[] = {0, (s.n_out - 1) * s.stride + reach + 1 - s.before - s.n};
  Made how(cudnn, BACKEND_CONVOLUTION_DESCRIPTOR);
  how.set(ATTR_CONVOLUTION_COMP_TYPE, TYPE_DATA_TYPE, int{DATA_FLOAT})
      .set(ATTR_CONVOLUTION_CONV_MODE, TYPE_CONVOLUTION_MODE, int{CROSS_CORRELATION})
      .set(ATTR_CONVOLUTION_SPATIAL_DIMS, TYPE_INT64, int64_t{2});
  how.set(ATTR_CONVOLUTION_DILATIONS, TYPE_INT64, dilations, 2)
      .set(ATTR_CONVOLUTION_FILTER_STRIDES, TYPE_INT64, strides, 2);
  how.set(ATTR_CONVOLUTION_PRE_PADDINGS, TYPE_INT64, before, 2)
      .set(ATTR_CONVOLUTION_POST_PADDINGS, TYPE_INT64, behind, 2)
      .finalize("the convolution");
  Made convolution(cudnn, BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  convolution.set(ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .set(ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight)
      .set(ATTR_OPERATION_CONVOLUTION_FORWARD_Y, sum)
      .set(ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
  convolution.set(ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, TYPE_FLOAT, 1.f)
      .set(ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, TYPE_FLOAT, 0.f)
      .finalize("the operation of the convolution");
  Made add(cudnn, BACKEND_POINTWISE_DESCRIPTOR);
  add.set(ATTR_POINTWISE_MODE, TYPE_POINTWISE_MODE, int{POINTWISE_ADD})
      .set(ATTR_POINTWISE_MATH_PREC, TYPE_DATA_TYPE, int{DATA_FLOAT})
      .finalize("the addition");
  Made biased(cudnn, BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  biased.set(ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add)
      .set(ATTR_OPERATION_POINTWISE_XDESC, sum)
      .set(ATTR_OPERATION_POINTWISE_BDESC, bias)
      .set(ATTR_OPERATION_POINTWISE_YDESC, y);
  biased.finalize("the operation of the bias");
  const Cudnn::Descriptor operations[] = {convolution.get(), biased.get()};
  Made graph(cudnn, BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(ATTR_OPERATIONGRAPH_OPS, TYPE_BACKEND_DESCRIPTOR, operations, 2);
  if (handle) graph.set(ATTR_OPERATIONGRAPH_HANDLE, TYPE_HANDLE, handle);
  graph.finalize("the graph");
  return graph;
}

// Whether the engine of a configuration computes as exactly as is asked for, and the same each
// time.
bool is_precise(const Cudnn& cudnn, const Made& configuration, bool tensor_cores) {
  Made engine(cudnn, BACKEND_ENGINE_DESCRIPTOR);
  Cudnn::Descriptor room = engine.get();
  int64_t n = 0;
  require(cudnn,
          cudnn.get_attribute(configuration.get(), ATTR_ENGINECFG_ENGINE, TYPE_BACKEND_DESCRIPTOR,
                              1, &n, &room),
          "the engine of a configuration");
  std::array<int, NUMERICAL_NOTE_TYPE_COUNT> notes{};
  require(cudnn,
          cudnn.get_attribute(engine.get(), ATTR_ENGINE_NUMERICAL_NOTE, TYPE_NUMERICAL_NOTE,
                              int64_t(notes.size()), &n, notes.data()),
          "an engine's numerical notes");
  for (int64_t i = 0; i < n; ++i) {
    const int note = notes[size_t(i)];
    // the last one is about NaNs
    if (note == NUMERICAL_NOTE_TENSOR_CORE
            ? !tensor_cores
            : note >= NUMERICAL_NOTE_DOWN_CONVERT_INPUTS && note < NUMERICAL_NOTE_TYPE_COUNT - 1)
      return false;
  }
  return true;
}

std::vector<Made> recommended(const Cudnn& cudnn, const Made& graph, int mode, const Made* device) {
  Made heuristics(cudnn, BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(ATTR_ENGINEHEUR_MODE, TYPE_HEUR_MODE, mode);
  if (device) heuristics.set(ATTR_ENGINEHEUR_DEVICEPROP, *device);
  heuristics.finalize("the heuristics");
  int64_t n = 0;
  require(cudnn,
          cudnn.get_attribute(heuristics.get(), ATTR_ENGINEHEUR_RESULTS, TYPE_BACKEND_DESCRIPTOR, 0,
                              &n, nullptr),
          "the number of engines");
  std::vector<Made> made;
  std::vector<Cudnn::Descriptor> room;
  for (int64_t i = 0; i < n; ++i)
    room.push_back(made.emplace_back(cudnn, BACKEND_ENGINECFG_DESCRIPTOR).get());
  if (n)
    require(cudnn,
            cudnn.get_attribute(heuristics.get(), ATTR_ENGINEHEUR_RESULTS, TYPE_BACKEND_DESCRIPTOR,
                                n, &n, room.data()),
            "the engines");
  while (int64_t(made.size()) > n) made.pop_back();
  return made;
}

}  // namespace

const Cudnn* Cudnn::open(std::string* why) {
  static std::string problem;
  static const Cudnn* opened = []() -> const Cudnn* {
    void* library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!library) return problem = dlerror(), nullptr;
    static Cudnn c;
    const auto find = [&](auto& f, const char* name) {
      f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(dlsym(library, name));
      if (!f) problem = std::string("libcudnn.so.9 without ") + name;
    };
    find(c.create, "cudnnCreate"), find(c.destroy, "cudnnDestroy"),
        find(c.set_stream, "cudnnSetStream");
    find(c.create_descriptor, "cudnnBackendCreateDescriptor"),
        find(c.destroy_descriptor, "cudnnBackendDestroyDescriptor");
    find(c.set_attribute, "cudnnBackendSetAttribute"),
        find(c.get_attribute, "cudnnBackendGetAttribute"), find(c.finalize, "cudnnBackendFinalize"),
        find(c.execute, "cudnnBackendExecute");
    find(c.last_error, "cudnnGetLastErrorString");
    size_t (*version)() = nullptr;
    find(version, "cudnnGetVersion");
    if (!problem.empty()) return nullptr;
    c.version = version();
    if (c.version < kOldest)
      return problem = "libcudnn.so.9 of version " + std::to_string(c.version) + ", needed is " +
                       std::to_string(kOldest),
             nullptr;
    return &c;
  }();
  if (!opened && why) *why = problem;
  return opened;
}

ConvolutionPlan::ConvolutionPlan(const Cudnn& cudnn, const ConvolutionShape& shape,
                                 Cudnn::Handle handle, const std::string& description)
    : cudnn_(cudnn) {
  const Made graph = convolution_graph(cudnn, shape, handle);
  std::unique_ptr<Made> device;
  if (!handle) {
    device = std::make_unique<Made>(cudnn, BACKEND_DEVICEPROP_DESCRIPTOR);
    device
        ->set(ATTR_DEVICEPROP_JSON_REPRESENTATION, TYPE_CHAR, description.c_str(),
              description.size() + 1)
        .finalize("the device");
  }
  int64_t n_engines = 0;
  for (const int mode : {HEUR_MODE_A, HEUR_MODE_FALLBACK})
    for (const Made& configuration : recommended(cudnn, graph, mode, device.get())) {
      ++n_engines;
      if (!is_precise(cudnn, configuration, shape.tensor_cores)) continue;
      Made plan(cudnn, BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (handle)
        plan.set(ATTR_EXECUTION_PLAN_HANDLE, TYPE_HANDLE, handle);
      else
        plan.set(ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
      if (cudnn.finalize(plan.get())) continue;  // not for this shape after all: the next
      int64_t n = 0;
      require(cudnn,
              cudnn.get_attribute(plan.get(), ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, TYPE_INT64, 1, &n,
                                  &workspace_),
              "the workspace");
      plan_ = plan.release();
      return;
    }
  throw Error(ErrorCode::unsupported, "cuDNN: none of " + std::to_string(n_engines) +
                                          " engines can do the convolution as exactly");
}

ConvolutionPlan::~ConvolutionPlan() {
  if (plan_) cudnn_.destroy_descriptor(plan_);
}

void ConvolutionPlan::run(Cudnn::Handle handle, const float* x, const float* weight,
                          const float* bias, float* y, void* workspace) const {
  const int64_t ids[] = {kX, kWeight, kBias, kY};
  const void* const data[] = {x, weight, bias, y};
  Made pack(cudnn_, BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(ATTR_VARIANT_PACK_UNIQUE_IDS, TYPE_INT64, ids, 4)
      .set(ATTR_VARIANT_PACK_DATA_POINTERS, TYPE_VOID_PTR, data, 4)
      .set(ATTR_VARIANT_PACK_WORKSPACE, TYPE_VOID_PTR, workspace);
  pack.finalize("the pointers");
  require(cudnn_, cudnn_.execute(handle, plan_, pack.get()), "cudnnBackendExecute",
          ErrorCode::device);
}

}  // namespace omni::ops::cuda
