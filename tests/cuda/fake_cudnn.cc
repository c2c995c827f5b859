// A libcudnn.so.9 over the emulation: checks how a graph of one convolution and one addition is put
// together, offers two engines, and computes in double precision what was asked for. The engine
// with tensor cores rounds its factors to TF32, so that whoever takes it where exactness was asked
// for is found out.
#include <dlfcn.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "ops/cuda/cudnn_names.h"

using namespace omni::ops::cuda::cudnn;

namespace {

enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
std::string g_error;

int refuse(const std::string& why, int status = BAD_PARAM) {
  g_error = why;
  return status;
}

struct Descriptor {
  int type;
  bool finalized = false;
  std::map<int, std::vector<char>> attributes;
  bool tensor_core = false;  // of an engine
  Descriptor* engine_of = nullptr;

  bool has(std::initializer_list<int> names) const {
    for (const int n : names)
      if (!attributes.contains(n)) return false;
    return true;
  }
  template <class T>
  std::vector<T> all(int name) const {
    const auto& bytes = attributes.at(name);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  template <class T>
  T one(int name) const {
    return all<T>(name)[0];
  }
  Descriptor* other(int name) const { return one<Descriptor*>(name); }
};

struct Handle {
  void* stream = nullptr;
};

size_t size_of(int type) {
  switch (type) {
    case TYPE_INT64:
      return 8;
    case TYPE_HANDLE:
    case TYPE_VOID_PTR:
    case TYPE_BACKEND_DESCRIPTOR:
      return sizeof(void*);
    case TYPE_BOOLEAN:
    case TYPE_CHAR:
      return 1;
    default:
      return 4;
  }
}

using Dims = std::vector<int64_t>;
Dims dims(const Descriptor* t) { return t->all<int64_t>(ATTR_TENSOR_DIMENSIONS); }
Dims strides(const Descriptor* t) { return t->all<int64_t>(ATTR_TENSOR_STRIDES); }

int check_convolution(const Descriptor& d) {
  if (!d.has({ATTR_OPERATION_CONVOLUTION_FORWARD_X, ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              ATTR_OPERATION_CONVOLUTION_FORWARD_Y, ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, ATTR_OPERATION_CONVOLUTION_FORWARD_BETA}))
    return refuse("a convolution without one of its attributes");
  const Dims x = dims(d.other(ATTR_OPERATION_CONVOLUTION_FORWARD_X)),
             w = dims(d.other(ATTR_OPERATION_CONVOLUTION_FORWARD_W)),
             y = dims(d.other(ATTR_OPERATION_CONVOLUTION_FORWARD_Y));
  const Descriptor* how = d.other(ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  const Dims before = how->all<int64_t>(ATTR_CONVOLUTION_PRE_PADDINGS),
             behind = how->all<int64_t>(ATTR_CONVOLUTION_POST_PADDINGS),
             stride = how->all<int64_t>(ATTR_CONVOLUTION_FILTER_STRIDES),
             dilation = how->all<int64_t>(ATTR_CONVOLUTION_DILATIONS);
  if (how->one<int64_t>(ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 || x.size() != 4)
    return refuse("not two spatial dimensions");
  if (x[1] != w[1] || y[1] != w[0] || x[0] != y[0]) return refuse("channels that do not fit");
  for (size_t i = 0; i < 2; ++i)
    if (before[i] < 0 ||
        (x[2 + i] + before[i] + behind[i] - ((w[2 + i] - 1) * dilation[i] + 1)) / stride[i] + 1 !=
            y[2 + i])
      return refuse("the output's size is not the convolution's");
  return SUCCESS;
}

int check(const Descriptor& d) {
  for (const auto& [name, bytes] : d.attributes)
    if (d.type != BACKEND_VARIANT_PACK_DESCRIPTOR && d.type != BACKEND_DEVICEPROP_DESCRIPTOR &&
        bytes.size() % sizeof(void*) == 0 && name / 100 * 100 == 700)
      if (!(*reinterpret_cast<Descriptor* const*>(bytes.data()))->finalized)
        return refuse("names a descriptor that is not finalized");
  switch (d.type) {
    case BACKEND_TENSOR_DESCRIPTOR:
      return d.has({ATTR_TENSOR_DATA_TYPE, ATTR_TENSOR_DIMENSIONS, ATTR_TENSOR_STRIDES,
                    ATTR_TENSOR_UNIQUE_ID, ATTR_TENSOR_BYTE_ALIGNMENT}) &&
                     dims(&d).size() == strides(&d).size()
                 ? SUCCESS
                 : refuse("a tensor without one of its attributes");
    case BACKEND_CONVOLUTION_DESCRIPTOR:
      return d.has({ATTR_CONVOLUTION_COMP_TYPE, ATTR_CONVOLUTION_CONV_MODE,
                    ATTR_CONVOLUTION_SPATIAL_DIMS, ATTR_CONVOLUTION_DILATIONS,
                    ATTR_CONVOLUTION_FILTER_STRIDES, ATTR_CONVOLUTION_PRE_PADDINGS,
                    ATTR_CONVOLUTION_POST_PADDINGS})
                 ? SUCCESS
                 : refuse("a convolution without one of its attributes");
    case BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return check_convolution(d);
    case BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return d.has({ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, ATTR_OPERATION_POINTWISE_XDESC,
                    ATTR_OPERATION_POINTWISE_BDESC, ATTR_OPERATION_POINTWISE_YDESC})
                 ? SUCCESS
                 : refuse("a pointwise operation without one of its attributes");
    case BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return d.has({ATTR_OPERATIONGRAPH_OPS}) &&
                     d.all<Descriptor*>(ATTR_OPERATIONGRAPH_OPS).size() == 2
                 ? SUCCESS
                 : refuse("not a graph of two operations", NOT_SUPPORTED);
    case BACKEND_ENGINEHEUR_DESCRIPTOR:
      return d.has({ATTR_ENGINEHEUR_OPERATION_GRAPH, ATTR_ENGINEHEUR_MODE})
                 ? SUCCESS
                 : refuse("heuristics without a graph");
    case BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return d.has({ATTR_EXECUTION_PLAN_ENGINE_CONFIG, ATTR_EXECUTION_PLAN_HANDLE})
                 ? SUCCESS
                 : refuse("a plan without configuration or handle");
    case BACKEND_VARIANT_PACK_DESCRIPTOR:
      return d.all<int64_t>(ATTR_VARIANT_PACK_UNIQUE_IDS).size() ==
                     d.all<void*>(ATTR_VARIANT_PACK_DATA_POINTERS).size()
                 ? SUCCESS
                 : refuse("as many ids as pointers are wanted");
    default:
      return SUCCESS;
  }
}

float tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0x1000) & 0xffffe000;
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API size_t cudnnGetVersion() { return 90800; }
API int cudnnCreate(Handle** h) { return *h = new Handle, SUCCESS; }
API int cudnnDestroy(Handle* h) { return delete h, SUCCESS; }
API int cudnnSetStream(Handle* h, void* stream) { return h->stream = stream, SUCCESS; }
API void cudnnGetLastErrorString(char* message, size_t size) {
  std::strncpy(message, g_error.c_str(), size - 1)[size - 1] = 0;
}
API int cudnnBackendCreateDescriptor(int type, Descriptor** d) {
  return *d = new Descriptor{type}, SUCCESS;
}
API int cudnnBackendDestroyDescriptor(Descriptor*) {
  return SUCCESS;
}  // others may name it: all stay

API int cudnnBackendSetAttribute(Descriptor* d, int name, int type, int64_t n, const void* values) {
  if (d->finalized) return refuse("an attribute of a finalized descriptor is set");
  const auto* bytes = static_cast<const char*>(values);
  d->attributes[name].assign(bytes, bytes + size_t(n) * size_of(type));
  return SUCCESS;
}

API int cudnnBackendFinalize(Descriptor* d) {
  if (const int status = check(*d)) return status;
  d->finalized = true;
  return SUCCESS;
}

API int cudnnBackendGetAttribute(Descriptor* d, int name, int, int64_t most, int64_t* n,
                                 void* values) {
  if (name == ATTR_ENGINEHEUR_RESULTS) {
    if (!d->finalized) return refuse("heuristics that are not finalized");
    const bool fallback = d->one<int>(ATTR_ENGINEHEUR_MODE) == HEUR_MODE_FALLBACK;
    *n = fallback ? 0 : 2;
    for (int64_t i = 0; i < std::min(most, *n); ++i) {
      auto* configuration = static_cast<Descriptor**>(values)[i];
      configuration->finalized = true, configuration->tensor_core = i == 0,
      configuration->engine_of = d->other(ATTR_ENGINEHEUR_OPERATION_GRAPH);
    }
    return SUCCESS;
  }
  if (name == ATTR_ENGINECFG_ENGINE) {
    auto* engine = *static_cast<Descriptor**>(values);
    engine->finalized = true, engine->tensor_core = d->tensor_core;
    return *n = 1, SUCCESS;
  }
  if (name == ATTR_ENGINE_NUMERICAL_NOTE) {
    *n = d->tensor_core;
    if (*n && most) *static_cast<int*>(values) = NUMERICAL_NOTE_TENSOR_CORE;
    return SUCCESS;
  }
  if (name == ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)
    return *n = 1, *static_cast<int64_t*>(values) = 256, SUCCESS;
  return refuse("an attribute that is not known here", NOT_SUPPORTED);
}

API int cudnnBackendExecute(Handle* h, Descriptor* plan, Descriptor* pack) {
  if (!plan->finalized || !pack->finalized)
    return refuse("a plan or its pointers are not finalized");
  if (!pack->one<void*>(ATTR_VARIANT_PACK_WORKSPACE)) return refuse("no workspace");
  // The emulated runtime: in the module, or in the program itself.
  void* module = dlopen("libomni-cuda-emulated.so", RTLD_NOW | RTLD_NOLOAD);
  if (!module) module = RTLD_DEFAULT;
  const auto wait = reinterpret_cast<int (*)(void*)>(dlsym(module, "cudaStreamSynchronize"));
  const auto copy = reinterpret_cast<int (*)(void*, const void*, size_t, int, void*)>(
      dlsym(module, "cudaMemcpyAsync"));
  if (!wait || !copy) return refuse("no emulated CUDA runtime", NOT_SUPPORTED);
  wait(h->stream);
  const Descriptor* configuration = plan->other(ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const auto operations = configuration->engine_of->all<Descriptor*>(ATTR_OPERATIONGRAPH_OPS);
  const Descriptor &convolution = *operations[0], &add = *operations[1];
  const Descriptor *x = convolution.other(ATTR_OPERATION_CONVOLUTION_FORWARD_X),
                   *w = convolution.other(ATTR_OPERATION_CONVOLUTION_FORWARD_W),
                   *b = add.other(ATTR_OPERATION_POINTWISE_BDESC),
                   *y = add.other(ATTR_OPERATION_POINTWISE_YDESC);
  if (convolution.other(ATTR_OPERATION_CONVOLUTION_FORWARD_Y) !=
      add.other(ATTR_OPERATION_POINTWISE_XDESC))
    return refuse("the bias is added to something else");
  const auto data = [&](const Descriptor* t) -> const float* {
    const auto ids = pack->all<int64_t>(ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto pointers = pack->all<const float*>(ATTR_VARIANT_PACK_DATA_POINTERS);
    for (size_t i = 0; i < ids.size(); ++i)
      if (ids[i] == t->one<int64_t>(ATTR_TENSOR_UNIQUE_ID)) return pointers[i];
    return nullptr;
  };
  const Descriptor* how = convolution.other(ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  const int64_t before = how->all<int64_t>(ATTR_CONVOLUTION_PRE_PADDINGS)[1],
                stride = how->all<int64_t>(ATTR_CONVOLUTION_FILTER_STRIDES)[1],
                dilation = how->all<int64_t>(ATTR_CONVOLUTION_DILATIONS)[1];
  const Dims xs = strides(x), ws = strides(w), bs = strides(b), ys = strides(y), wd = dims(w),
             yd = dims(y), xd = dims(x);
  const auto rounded = [&](float v) { return configuration->tensor_core ? tf32(v) : v; };
  std::vector<float> out(size_t(yd[1] * yd[3]));
  for (int64_t o = 0; o < yd[1]; ++o)
    for (int64_t i = 0; i < yd[3]; ++i) {
      double sum = 0;
      for (int64_t tap = 0; tap < wd[3]; ++tap) {
        const int64_t at = i * stride + tap * dilation - before;
        if (at < 0 || at >= xd[3]) continue;
        for (int64_t c = 0; c < xd[1]; ++c)
          sum += double(rounded(data(x)[c * xs[1] + at * xs[3]])) *
                 rounded(data(w)[o * ws[0] + c * ws[1] + tap * ws[3]]);
      }
      out[size_t(o * ys[1] + i * ys[3])] = float(sum + data(b)[o * bs[1]]);
    }
  return copy(const_cast<float*>(data(y)), out.data(), out.size() * sizeof(float), 4, h->stream);
}
